//! A real mail server on a free loopback port, and what it was sent.

use super::tools;
use serde::Deserialize;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a mail may take to arrive, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// A mail as it arrived.
#[derive(Debug, Clone, Deserialize)]
pub struct Received {
    pub sender: String,
    pub recipients: Vec<String>,
    pub headers: Vec<(String, String)>,
    pub text: String,
    pub html: String,
    pub encrypted: bool,
    pub login: Option<String>,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
    pub fn subject(&self) -> &str {
        self.header("subject")
    }
    /// Its one-time link: the same in both forms.
    #[track_caller]
    pub fn link(&self) -> String {
        let is_link = |word: &&str| word.starts_with("http") && word.contains("token=");
        let link = self.text.split_whitespace().find(is_link);
        let link = link.unwrap_or_else(|| panic!("no link in {}", self.text)).to_owned();
        let as_markup = link.replace('&', "&amp;").replace('/', "&#x2f;");
        assert!(
            self.html.contains(&link) || self.html.contains(&as_markup),
            "{link} is not in {}",
            self.html
        );
        link
    }
}

/// What the server does with mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Take,
    /// It refuses for now.
    Later,
    /// It refuses for good.
    Never,
    /// It keeps the mail, and does not answer.
    Hang,
}

/// A mail server; gone when dropped.
#[derive(Debug)]
pub struct Inbox {
    dir: tempfile::TempDir,
    pub port: u16,
    secured: bool,
    child: Option<Child>,
}

/// Who may send through a server with TLS.
pub const USER: &str = "counterfoil@mail.example";
pub const PASSWORD: &str = "a password of the tests";

impl Inbox {
    /// A server without TLS.
    pub async fn start() -> Self {
        Self::started(false).await
    }
    /// A server that wants STARTTLS and a login; its certificate is for `localhost`.
    pub async fn start_secured() -> Self {
        Self::started(true).await
    }
    async fn started(secured: bool) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        if secured {
            super::tls::make_certificate(
                "localhost",
                &dir.path().join("key"),
                &dir.path().join("certificate"),
            );
        }
        let mut inbox = Self { dir, port: 0, secured, child: None };
        inbox.set(Mode::Take);
        inbox.serve().await;
        inbox
    }

    /// Starts serving; again, on the port that it was given the first time.
    pub async fn serve(&mut self) {
        let mut command = Command::new(tools::python());
        command.arg(tools::script("smtp_server.py")).arg(self.dir.path()).arg(self.port.to_string());
        if self.secured {
            command.arg(self.certificate()).arg(self.dir.path().join("key")).args([USER, PASSWORD]);
        }
        // What it prints about clients that close the connection is expected, and useful only when a test is
        // repaired.
        let said = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("said"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(said.expect("a file"));
        let mut child = command.spawn().expect("python starts");
        let mut said = BufReader::new(child.stdout.take().expect("piped"));
        // If it ends without output, the reading ends too.
        self.child = Some(child);
        let line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            said.read_line(&mut line).map(|_| line)
        });
        let line = tokio::time::timeout(PATIENCE, line).await.expect("in time").expect("no panic");
        let port = line.expect("text").trim().parse().ok();
        self.port = port.expect("the mail server says where it listens; does its venv have aiosmtpd?");
    }
    /// Ends the server; what arrived stays.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().expect("it ends");
        }
    }
    /// Offers SMTPUTF8, or not, when it is started the next time.
    pub fn offer_smtputf8(&self) {
        std::fs::write(self.dir.path().join("smtputf8"), "").expect("a file");
    }
    /// What it does from now on.
    pub fn set(&self, mode: Mode) {
        let text = match mode {
            Mode::Take => "take",
            Mode::Later => "later",
            Mode::Never => "never",
            Mode::Hang => "hang",
        };
        let draft = self.dir.path().join("mode.new");
        std::fs::write(&draft, text).expect("a file");
        std::fs::rename(draft, self.dir.path().join("mode")).expect("a file");
    }
    /// Its certificate.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("certificate")
    }
    /// The configuration that sends to a server without TLS.
    pub fn config(&self) -> String {
        format!(
            "[mail]\nfrom = \"Affiliates <affiliates@program.example>\"\nurl = \"smtp://127.0.0.1:{}\"\n",
            self.port
        )
    }

    /// A page that shows a mail as a reader of mail would.
    pub fn page_of(&self, mail: &Received) -> String {
        let file = self.dir.path().join("shown.html");
        std::fs::write(&file, &mail.html).expect("a file");
        format!("file://{}", file.display())
    }
    /// All mail that arrived, in order.
    pub fn mails(&self) -> Vec<Received> {
        let mut files: Vec<PathBuf> = self.files().collect();
        files.sort();
        let read = |file: &PathBuf| {
            let text = std::fs::read_to_string(file).expect("a whole file");
            serde_json::from_str(&text).expect("a mail")
        };
        files.iter().map(read).collect()
    }
    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let entries = std::fs::read_dir(self.dir.path()).expect("a directory");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"))
    }
    /// How often a recipient was named to it.
    pub fn asked(&self, address: &str) -> usize {
        let asked = std::fs::read_to_string(self.dir.path().join("asked")).unwrap_or_default();
        asked.lines().filter(|line| *line == address).count()
    }
    /// Waits until so many mails have arrived at an address; answers all of them.
    pub async fn wait_for(&self, address: &str, count: usize) -> Vec<Received> {
        let begun = Instant::now();
        loop {
            let mut mails = self.mails();
            mails.retain(|mail| mail.recipients.iter().any(|recipient| recipient == address));
            if mails.len() >= count {
                return mails;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{count} mails to {address} do not arrive, but {:?}",
                mails.iter().map(Received::subject).collect::<Vec<_>>()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    /// Waits for a mail to an address whose subject holds a text; answers the latest such.
    pub async fn wait_for_subject(&self, address: &str, subject: &str) -> Received {
        let begun = Instant::now();
        loop {
            let mut mails = self.mails();
            let is_it = |mail: &Received| {
                mail.recipients.iter().any(|recipient| recipient == address)
                    && mail.subject().contains(subject)
            };
            if let Some(at) = mails.iter().rposition(is_it) {
                return mails.swap_remove(at);
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "no mail “{subject}” to {address}, but {:?}",
                mails.iter().map(|mail| (&mail.recipients, mail.subject())).collect::<Vec<_>>()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Mails of the `file` mode in a data directory.
pub fn mail_files(data_dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(data_dir.join("outbox")) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    files.sort();
    files
}
