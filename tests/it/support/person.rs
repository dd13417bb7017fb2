//! Somebody with a browser that knows no script: keeps its cookie, fills in forms, reads its mail.

use super::app::{CHROME, TestApp};
use super::http::{Answer, send};
use super::inbox::mail_files;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use url::form_urlencoded::Serializer;

/// A password that is good enough.
pub const PASSWORD: &str = "correct horse battery staple";

/// Somebody at one of the listeners' pages.
#[derive(Debug, Clone)]
pub struct Person {
    pub at: SocketAddr,
    /// Name and value.
    pub cookie: Option<String>,
}

impl Person {
    /// Somebody who is not signed in.
    pub const fn at(at: SocketAddr) -> Self {
        Self { at, cookie: None }
    }
    fn headers(&self) -> Vec<(String, String)> {
        let mut headers = vec![("user-agent".to_owned(), CHROME.to_owned())];
        headers.extend(self.cookie.iter().map(|cookie| ("cookie".to_owned(), cookie.clone())));
        headers
    }
    /// Looks at a page.
    pub async fn gets(&self, path: &str) -> Answer {
        send("GET", self.at, path, &self.headers(), "").await.unwrap_or_else(|| panic!("no answer to {path}"))
    }
    /// The text of a page that must be there.
    #[track_caller]
    pub fn sees(&self, path: &str) -> impl Future<Output = String> {
        let (person, path) = (self.clone(), path.to_owned());
        async move { person.gets(&path).await.expect_status(200).text() }
    }
    /// Sends a form as a browser does from our own page, with more headers; keeps the cookie that comes back.
    pub async fn sends_with(&mut self, path: &str, form: &[(&str, &str)], more: &[(&str, &str)]) -> Answer {
        let mut headers = self.headers();
        headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
        headers.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let body = Serializer::new(String::new()).extend_pairs(form).finish();
        let answer = send("POST", self.at, path, &headers, body).await.expect("an answer");
        if let Some(cookie) = answer.header("set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            self.cookie = Some(pair.to_owned()).filter(|pair| !pair.ends_with('='));
        }
        answer
    }
    /// Sends a form from our own page.
    pub async fn sends(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        let origin = format!("http://{}", self.at);
        self.sends_with(path, form, &[("origin", &origin), ("sec-fetch-site", "same-origin")]).await
    }
    /// Sends a form of a signed-in person, with the token that a page gave.
    pub async fn sends_signed(&mut self, page: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        let token = self.csrf(page).await;
        let mut form = form.to_vec();
        form.push(("csrf", &token));
        self.sends(path, &form).await
    }
    /// The token in a page's forms.
    pub async fn csrf(&self, page: &str) -> String {
        let text = self.sees(page).await;
        let (_, rest) = text.split_once("name=\"csrf\" value=\"").expect("a form with a token");
        rest.split('"').next().unwrap_or_default().to_owned()
    }
    /// Chooses a password with the link of the newest mail; is signed in by it.
    pub async fn opens_mail(&mut self, app: &TestApp, address: &str, kind: &str) {
        let link = newest_link(app, address, kind).await;
        let token = link.split_once("token=").expect("a token").1;
        let answer = self.sends("/activate", &[("token", token), ("new_password", PASSWORD)]).await;
        assert_eq!(answer.expect_status(303).header("location"), Some("/portal"));
    }
}

/// The link in the newest mail of a kind to an address, which may be on its way still.
pub async fn newest_link(app: &TestApp, address: &str, kind: &str) -> String {
    let begun = Instant::now();
    loop {
        let files = mail_files(&app.data_dir());
        let files = files.iter().rev().filter(|file| file.to_string_lossy().contains(kind));
        let mut mails = files.map(|file| std::fs::read_to_string(file).expect("a mail"));
        if let Some(mail) = mails.find(|mail| mail.contains(&format!("<{address}>"))) {
            let mail = mail.replace("=\r\n", "").replace("=\n", "").replace("=3D", "=");
            let mut words = mail.split_whitespace();
            let found = words.find(|word| word.starts_with("http") && word.contains("token="));
            return found.unwrap_or_else(|| panic!("no link in {mail}")).to_owned();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "no mail {kind} came:\n{}", app.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
