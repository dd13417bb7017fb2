//! A real browser, led by the WebDriver protocol (W3C) through Debian's `chromedriver`.

use super::app::CHROME;
use super::{http, servers, tools};
use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long something on a page may take to be there, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);
/// What an element is called by, in the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// No page is heavier, with all that it needs.
const PAGE_BYTES: u64 = 100_000;
/// A phone's width, and a desk's.
pub const PHONE: Size = Size { width: 390, height: 844 };
pub const DESK: Size = Size { width: 1280, height: 900 };

/// A window's size, in CSS pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

/// The program that leads browsers; gone when dropped.
#[derive(Debug)]
struct Driver {
    child: Child,
    address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Driver {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let port = servers::free_port();
        let child = Command::new(tools::chromedriver())
            .arg(format!("--port={port}"))
            .env("HOME", dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let driver = Self { child, address: SocketAddr::from(([127, 0, 0, 1], port)), dir };
        let begun = Instant::now();
        while http::try_get(driver.address, "/status", &[]).await.is_none_or(|answer| answer.status != 200) {
            assert!(begun.elapsed() < PATIENCE, "chromedriver does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        driver
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A person's browser: a window, with cookies of its own; gone when dropped.
#[derive(Debug)]
pub struct Browser {
    driver: Arc<Driver>,
    session: String,
    process: Pid,
    size: Size,
    dark: bool,
}

impl Browser {
    /// Somebody's browser. It reaches loopback addresses only.
    pub async fn start() -> Self {
        Self::open(Arc::new(Driver::start().await), "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost")
            .await
    }
    /// Somebody else's, for whom a host is at an address, under a certificate that nobody vouches for.
    pub async fn another(&self, host: &str, at: SocketAddr) -> Self {
        let hosts = format!("MAP {host}:443 {at}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost");
        Self::open(Arc::clone(&self.driver), &hosts).await
    }
    async fn open(driver: Arc<Driver>, hosts: &str) -> Self {
        let profile = tempfile::Builder::new().tempdir_in(driver.dir.path()).expect("a directory").keep();
        let options = [
            "--headless=new",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            // Only pages of the tests are shown; root has no sandbox.
            "--no-sandbox",
            "--hide-scrollbars",
        ];
        let mut options: Vec<String> = options.map(str::to_owned).to_vec();
        options.push(format!("--user-data-dir={}", profile.display()));
        options.push(format!("--host-resolver-rules={hosts}"));
        // Without a head it would say so in its name, and be taken for the program that it is.
        options.push(format!("--user-agent={CHROME}"));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "acceptInsecureCerts": true,
            "unhandledPromptBehavior": "accept",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"binary": tools::chromium(), "args": options},
        }}});
        let made = http::post(driver.address, "/session", &[], wanted.to_string()).await.expect_status(200);
        let made = made.json()["value"].take();
        let session = made["sessionId"].as_str().expect("a session").to_owned();
        let process = made["capabilities"]["goog:processID"].as_i64().expect("its process");
        let process = Pid::from_raw(process.try_into().expect("a process")).expect("a process");
        let mut browser = Self { driver, session, process, size: DESK, dark: false };
        browser.resize(DESK).await;
        browser.set_dark(false).await;
        browser
    }

    async fn try_ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let path = format!("/session/{}{path}", self.session);
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let answer = http::send(method, self.driver.address, &path, &headers, body).await;
        let answer = answer.ok_or("chromedriver does not answer")?;
        let value = answer.json()["value"].clone();
        if answer.status == 200 {
            return Ok(value);
        }
        Err(format!(
            "{}: {}",
            value["error"].as_str().unwrap_or_default(),
            value["message"].as_str().unwrap_or_default()
        ))
    }
    async fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        match self.try_ask(method, path, &body).await {
            Ok(value) => value,
            Err(error) => {
                panic!("{path} on {}: {error}\n{}", self.address().await, self.text_of_page().await)
            }
        }
    }
    /// Asks the browser itself (Chrome's own protocol).
    async fn tell_browser(&self, command: &str, parameters: Value) -> Value {
        self.ask("POST", "/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    /// Opens a page.
    pub async fn goto(&self, url: &str) {
        self.ask("POST", "/url", json!({"url": url})).await;
    }
    /// The page's address.
    pub async fn address(&self) -> String {
        let url = self.try_ask("GET", "/url", &Value::Null).await.unwrap_or_default();
        url.as_str().unwrap_or_default().to_owned()
    }
    /// The path of the page's address.
    pub async fn path(&self) -> String {
        self.address().await.parse::<url::Url>().map(|url| url.path().to_owned()).unwrap_or_default()
    }
    /// The page's title.
    pub async fn title(&self) -> String {
        self.ask("GET", "/title", Value::Null).await.as_str().unwrap_or_default().to_owned()
    }
    /// All that can be read on the page.
    pub async fn text_of_page(&self) -> String {
        let Ok(body) = self.try_find("body").await else { return String::new() };
        let text =
            self.try_ask("GET", &format!("/element/{body}/text"), &Value::Null).await.unwrap_or_default();
        text.as_str().unwrap_or_default().to_owned()
    }
    /// Waits until the page says something.
    pub async fn sees(&self, text: &str) {
        let begun = Instant::now();
        loop {
            let shown = self.text_of_page().await;
            if shown.contains(text) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "“{text}” is not on {}:\n{shown}", self.address().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn try_find(&self, css: &str) -> Result<String, String> {
        let wanted = json!({"using": "css selector", "value": css});
        let found = self.try_ask("POST", "/element", &wanted).await?;
        Ok(found[ELEMENT].as_str().ok_or("not an element")?.to_owned())
    }
    /// Waits for an element.
    async fn find(&self, css: &str) -> String {
        let begun = Instant::now();
        loop {
            match self.try_find(css).await {
                Ok(element) => return element,
                Err(error) if begun.elapsed() > PATIENCE => {
                    panic!("{css} on {}: {error}\n{}", self.address().await, self.text_of_page().await)
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
    /// Whether the page has an element now.
    pub async fn has(&self, css: &str) -> bool {
        self.try_find(css).await.is_ok()
    }
    /// An element's attribute or property.
    pub async fn value_of(&self, css: &str, name: &str) -> String {
        let element = self.find(css).await;
        let value = self.ask("GET", &format!("/element/{element}/property/{name}"), Value::Null).await;
        value.as_str().unwrap_or_default().to_owned()
    }
    /// Clicks, and waits until the page that follows is there.
    pub async fn click(&self, css: &str) {
        let element = self.find(css).await;
        self.ask("POST", &format!("/element/{element}/click"), json!({})).await;
    }
    /// Clicks the link or button with a text (the whole of it).
    pub async fn press(&self, text: &str) {
        let literal = format!("\"{text}\"");
        let path = format!(
            "//button[normalize-space()={literal}] | //a[normalize-space()={literal}] | //summary[normalize-space()={literal}]"
        );
        let wanted = json!({"using": "xpath", "value": path});
        let begun = Instant::now();
        let element = loop {
            match self.try_ask("POST", "/element", &wanted).await {
                Ok(found) => break found[ELEMENT].as_str().expect("an element").to_owned(),
                Err(error) if begun.elapsed() > PATIENCE => {
                    panic!("“{text}” on {}: {error}\n{}", self.address().await, self.text_of_page().await)
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        self.ask("POST", &format!("/element/{element}/click"), json!({})).await;
    }
    /// Types into a field, in place of what is there.
    pub async fn fill(&self, css: &str, text: &str) {
        let element = self.find(css).await;
        self.ask("POST", &format!("/element/{element}/clear"), json!({})).await;
        self.ask("POST", &format!("/element/{element}/value"), json!({"text": text})).await;
    }
    /// Chooses a file on this machine.
    pub async fn choose(&self, css: &str, file: &Path) {
        let element = self.find(css).await;
        self.ask("POST", &format!("/element/{element}/value"), json!({"text": file})).await;
    }
    /// Where files go that are downloaded from now on.
    pub async fn saves_to(&self, directory: &Path) {
        let to = json!({"behavior": "allow", "downloadPath": directory});
        self.tell_browser("Browser.setDownloadBehavior", to).await;
    }
    /// Types where the keyboard is; `\u{E004}` is Tab, `\u{E007}` Enter.
    pub async fn types(&self, text: &str) {
        let keys: Vec<Value> = text
            .chars()
            .flat_map(|key| {
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            })
            .collect();
        let keyboard = json!([{"type": "key", "id": "keyboard", "actions": keys}]);
        self.ask("POST", "/actions", json!({"actions": keyboard})).await;
    }
    /// Where the keyboard is: the element's tag, with its id, name or text.
    pub async fn focus(&self) -> String {
        let script = "const e = document.activeElement; return e.tagName.toLowerCase() + ' ' + \
                      (e.id || e.name || e.textContent.trim().slice(0, 60));";
        self.run(script).await.as_str().unwrap_or_default().to_owned()
    }
    /// Runs a script on the page; answers what it returns.
    pub async fn run(&self, script: &str) -> Value {
        self.ask("POST", "/execute/sync", json!({"script": script, "args": []})).await
    }
    /// The names of its cookies for the page.
    pub async fn cookies(&self) -> Vec<Value> {
        self.ask("GET", "/cookie", Value::Null).await.as_array().cloned().unwrap_or_default()
    }
    /// From now on no page runs scripts.
    pub async fn switch_scripts_off(&self) {
        self.tell_browser("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    }
    /// Takes a size from now on.
    pub async fn resize(&mut self, size: Size) {
        self.size = size;
        let Size { width, height } = size;
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.tell_browser("Emulation.setDeviceMetricsOverride", metrics).await;
    }
    /// Prefers dark pages from now on, or light ones.
    pub async fn set_dark(&mut self, dark: bool) {
        self.dark = dark;
        let scheme = if dark { "dark" } else { "light" };
        // What moves is looked at when it has come to rest.
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"}]});
        self.tell_browser("Emulation.setEmulatedMedia", features).await;
    }
    /// A picture of the whole page, as PNG.
    pub async fn picture(&self) -> Vec<u8> {
        let metrics = self.tell_browser("Page.getLayoutMetrics", json!({})).await;
        let height = metrics["cssContentSize"]["height"].as_f64().unwrap_or_default().min(8_000.0);
        let height = height.max(f64::from(self.size.height));
        let clip = json!({"x": 0, "y": 0, "width": self.size.width, "height": height, "scale": 1});
        let taken = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let taken = self.tell_browser("Page.captureScreenshot", taken).await;
        let data = taken["data"].as_str().expect("a picture");
        base64::engine::general_purpose::STANDARD.decode(data).expect("base64")
    }

    /// Looks at the page as somebody who sees little or uses no mouse would: axe-core finds nothing serious. The page
    /// is not wider than the window, fits its 100 kB, and asks no other host for anything. Saves pictures of it at
    /// a phone's and a desk's width, light and dark, in the directory that COUNTERFOIL_PICTURES names, if it does.
    pub async fn inspect(&mut self, name: &str) {
        self.inspect_accessibility(name).await;
        let pictures = std::env::var_os("COUNTERFOIL_PICTURES");
        let before = (self.size, self.dark);
        for (width, size) in [("phone", PHONE), ("desk", DESK)] {
            self.resize(size).await;
            for (scheme, dark) in [("light", false), ("dark", true)] {
                self.set_dark(dark).await;
                if dark && size == PHONE {
                    self.inspect_accessibility(&format!("{name}, dark, on a phone")).await;
                }
                if let Some(dir) = &pictures {
                    let file = Path::new(dir).join(format!("{name}-{width}-{scheme}.png"));
                    std::fs::write(file, self.picture().await).expect("a picture is saved");
                }
            }
            let too_wide = self.run(TOO_WIDE).await;
            assert_eq!(too_wide, json!([]), "{name} is wider than a {width}");
        }
        let foreign = self.run(FOREIGN).await;
        assert_eq!(foreign, json!([]), "{name} asks other hosts");
        let bytes = self.run(BYTES).await.as_u64();
        assert!(
            bytes.is_some_and(|bytes| bytes <= PAGE_BYTES),
            "{name} has {bytes:?} bytes with all it needs"
        );
        let said = self.ask("POST", "/se/log", json!({"type": "browser"})).await;
        let refused: Vec<&Value> =
            said.as_array().into_iter().flatten().filter(|entry| is_refusal(entry)).collect();
        assert!(refused.is_empty(), "{name}: {refused:?}");
        self.resize(before.0).await;
        self.set_dark(before.1).await;
    }

    async fn inspect_accessibility(&self, name: &str) {
        let axe = std::fs::read_to_string(tools::axe()).expect("axe-core");
        let script = format!(
            "const done = arguments[arguments.length - 1]; if (!window.axe) {{ {axe}\n; }} \
             axe.run(document, {{resultTypes: ['violations']}}).then(found => done(found.violations \
             .filter(one => one.impact === 'serious' || one.impact === 'critical') \
             .map(one => one.id + ': ' + one.nodes.map(node => node.html + ' ' + node.failureSummary).join('\\n  '))), \
             error => done(['axe failed: ' + error]));"
        );
        let found = self.ask("POST", "/execute/async", json!({"script": script, "args": []})).await;
        let found = found.as_array().expect("a list").clone();
        assert!(
            found.is_empty(),
            "axe-core on {name}:\n{}",
            found.iter().filter_map(Value::as_str).collect::<String>()
        );
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It would outlive the program that leads it.
        kill_process(self.process, Signal::KILL).ok();
    }
}

/// Elements that stick out of the window, which does not scroll sideways.
const TOO_WIDE: &str = "const wide = document.documentElement.scrollWidth - window.innerWidth; \
    return wide <= 1 ? [] : ['by ' + wide + ' pixels: ' + [...document.querySelectorAll('body *')] \
    .filter(e => e.getBoundingClientRect().right > window.innerWidth + 1).slice(0, 3) \
    .map(e => e.outerHTML.slice(0, 200)).join(' | ')];";

/// What the page asked of others than its own host.
const FOREIGN: &str = "return performance.getEntriesByType('resource').map(entry => entry.name) \
    .filter(name => !name.startsWith(location.origin) && !name.startsWith('data:'));";

/// Bytes of the page and of all that it needs, unpacked.
const BYTES: &str = "return ['navigation', 'resource'].flatMap(kind => performance.getEntriesByType(kind)) \
    .reduce((sum, entry) => sum + entry.decodedBodySize, 0);";

/// Whether the browser said that the page wanted what its own policy forbids, or that its script failed.
fn is_refusal(entry: &Value) -> bool {
    let text = entry["message"].as_str().unwrap_or_default();
    ["Content Security Policy", "Refused to", "Uncaught"].iter().any(|sign| text.contains(sign))
}
