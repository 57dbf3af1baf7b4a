//! Chromium without a window, driven by WebDriver: requests with JSON to `chromedriver`, which Debian has beside `chromium`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longest that a page may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// The key of an element in WebDriver's JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Keys that are no characters.
pub(crate) const TAB: char = '\u{e004}';
pub(crate) const ENTER: char = '\u{e007}';
pub(crate) const ESCAPE: char = '\u{e00c}';
pub(crate) const RIGHT: char = '\u{e014}';
pub(crate) const SPACE: char = ' ';

/// A browser with one page.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

/// Starts chromedriver. It chooses a port for IPv4 and ends where another program has the same one for IPv6, which happens
/// when several tests start theirs at once, so it is started again then.
fn start_driver() -> std::io::Result<(Child, u16)> {
    for _ in 0..5 {
        let mut driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let started = lines.map(Result::unwrap).find(|line| line.contains("started successfully on port"));
        if let Some(line) = started {
            return Ok((driver, line.trim_end_matches('.').rsplit(' ').next().unwrap().parse().unwrap()));
        }
        driver.wait()?;
    }
    panic!("chromedriver ended five times before it had a port");
}

impl Browser {
    /// A new browser; `None`, with a line, where Chromium is missing.
    pub(crate) fn start() -> Option<Self> {
        let Ok((driver, port)) = start_driver() else {
            println!("skipped: chromedriver (of Debian's chromium-driver) is not installed");
            return None;
        };
        let mut browser = Self { driver, port, session: String::new() };
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            // A camera that shows a test picture, and that every page may use.
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
        ];
        let wanted = json!({ "goog:chromeOptions": { "args": args }, "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" } });
        let answer = browser.ask("POST", "/session", &json!({ "capabilities": { "alwaysMatch": wanted } }));
        match answer {
            Ok(session) => browser.session = session["sessionId"].as_str().unwrap().to_owned(),
            Err(error) if error.contains("cannot find Chrome binary") => {
                println!("skipped: chromium is not installed");
                return None;
            }
            Err(error) => panic!("{error}"),
        }
        Some(browser)
    }

    /// The value that chromedriver answers with, or its error.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).unwrap();
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        let value = answer["value"].take();
        if value.get("error").is_some() { Err(value.to_string()) } else { Ok(value) }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}{path}", self.session), body)
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Loads a page.
    pub(crate) fn open(&self, address: &str) {
        self.post("/url", &json!({ "url": address }));
    }

    /// What a script returns; `arguments[0]` is `argument`.
    pub(crate) fn run(&self, script: &str, argument: &Value) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [argument] }))
    }

    /// What a script answers by the function that is its last argument.
    pub(crate) fn run_async(&self, script: &str) -> Value {
        self.post("/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// A command of the DevTools protocol.
    fn devtools(&self, command: &str, params: &Value) {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": params }));
    }

    /// Shows pages as on a screen of this many pixels.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Shows pages to a user who prefers dark, or light, ones.
    pub(crate) fn prefer(&self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": [feature] }));
    }

    /// Types into the element of a CSS selector; a file input takes the paths of files.
    pub(crate) fn send(&self, selector: &str, text: &str) {
        let element = self.post("/element", &json!({ "using": "css selector", "value": selector }));
        let element = element[ELEMENT].as_str().unwrap();
        self.post(&format!("/element/{element}/value"), &json!({ "text": text }));
    }

    /// Presses a key, for whatever has the focus.
    pub(crate) fn press(&self, key: char) {
        self.hold(key, || {});
    }

    /// Types a text, for whatever has the focus.
    pub(crate) fn type_text(&self, text: &str) {
        text.chars().for_each(|key| self.press(key));
    }

    /// Holds a key down until `meanwhile` has returned.
    pub(crate) fn hold(&self, key: char, meanwhile: impl FnOnce()) {
        self.key("keyDown", key);
        meanwhile();
        self.key("keyUp", key);
    }

    fn key(&self, kind: &str, key: char) {
        let keys = json!([{ "type": kind, "value": key }]);
        self.post("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": keys }] }));
    }

    /// Drags files and folders of the disk onto the middle of an element, and lets them fall.
    pub(crate) fn drop_paths(&self, selector: &str, paths: &[&Path]) {
        let script = "const element = document.querySelector(arguments[0]); element.scrollIntoView({ block: 'center' });
            const { x, y, width, height } = element.getBoundingClientRect(); return [x + width / 2, y + height / 2]";
        let at = self.run(script, &json!(selector));
        let data = json!({ "items": [], "files": paths, "dragOperationsMask": 1 });
        for kind in ["dragEnter", "dragOver", "drop"] {
            let event = json!({ "type": kind, "x": at[0], "y": at[1], "data": data });
            self.devtools("Input.dispatchDragEvent", &event);
        }
    }

    /// Goes on with Tab until what has the focus matches a CSS selector.
    pub(crate) fn tab_to(&self, selector: &str) {
        for _ in 0..100 {
            self.press(TAB);
            if self.run("return document.activeElement.matches(arguments[0])", &json!(selector)) == true {
                return;
            }
        }
        panic!("{selector} cannot be reached by Tab on {}", self.address());
    }

    /// The address of the page.
    pub(crate) fn address(&self) -> String {
        self.run("return location.href", &Value::Null).as_str().unwrap().to_owned()
    }

    /// The text of the first element of a CSS selector; empty without one.
    pub(crate) fn text(&self, selector: &str) -> String {
        let script = "return document.querySelector(arguments[0])?.innerText ?? ''";
        self.run(script, &json!(selector)).as_str().unwrap().to_owned()
    }

    /// Waits until an expression is true in the page.
    pub(crate) fn wait(&self, expression: &str) {
        let start = Instant::now();
        while self.run(&format!("return Boolean({expression})"), &Value::Null) != true {
            assert!(start.elapsed() < PATIENCE, "{expression} on {}: {}", self.address(), self.text("body"));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The lines of a log since it was last read: `browser` for the console, `performance` for events of the network.
    pub(crate) fn log(&self, kind: &str) -> Vec<String> {
        let entries = self.post("/se/log", &json!({ "type": kind }));
        entries.as_array().unwrap().iter().map(|e| e["message"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // A panic in a drop would hide the one of the test.
            drop(self.ask("DELETE", &format!("/session/{}", self.session), &Value::Null));
        }
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}
