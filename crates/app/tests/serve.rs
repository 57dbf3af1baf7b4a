//! The server as a program: it prints its link, answers who has it, and ends with a signal.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::program::{refuses, train};

/// The answer to a request, with its head.
fn ask(port: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A server for the runs of a folder, with its port and its token.
fn serve(folder: &Path) -> (Child, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roentgen"));
    command.args(["serve", "--no-open", "--threads", "1"]).current_dir(folder);
    let mut server = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut link = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut link).unwrap();
    let (address, token) = link.trim().split_once("/?token=").expect("a link");
    let (_, port) = address.rsplit_once(':').unwrap();
    (server, port.to_owned(), token.to_owned())
}

/// The same with a model, `a`, in a folder of its own.
fn serve_model() -> (TempDir, Child, String, String) {
    let folder = TempDir::new().unwrap();
    train(&["--films", "24", "--out", "runs/a"], folder.path());
    let (server, port, token) = serve(folder.path());
    (folder, server, port, token)
}

#[test]
fn the_link_opens_the_page_until_a_signal() {
    let (_folder, mut server, port, token) = serve_model();
    let (port, token) = (port.as_str(), token.as_str());

    assert!(ask(port, "GET /healthz").ends_with("ok"));
    assert!(ask(port, "GET /").starts_with("HTTP/1.1 401"));
    assert!(ask(port, &format!("GET /?token={token}x")).starts_with("HTTP/1.1 401"));
    let opened = ask(port, &format!("GET /?token={token}"));
    assert!(opened.starts_with("HTTP/1.1 200") && opened.contains("HttpOnly; SameSite=Strict"), "{opened}");

    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    assert!(TcpStream::connect(format!("127.0.0.1:{port}")).is_err(), "it listens no more");
}

/// Sends 300 MiB, to the last byte, and returns the answer.
fn send_large(port: &str, request: &str, headers: &str, is_chunked: bool) -> String {
    const MIB: usize = 1 << 20;
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let length = if is_chunked {
        "Transfer-Encoding: chunked".to_owned()
    } else {
        format!("Content-Length: {}", 300 * MIB)
    };
    let head = format!(
        "{request} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}Connection: close\r\n{length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut part = vec![b'x'; MIB];
    if is_chunked {
        part.splice(0..0, *b"100000\r\n");
        part.extend(*b"\r\n");
    }
    for n in 0..300 {
        stream.write_all(&part).unwrap_or_else(|error| panic!("{request} after {n} MiB: {error}"));
    }
    if is_chunked {
        stream.write_all(b"0\r\n\r\n").unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn who_sends_too_much_sees_the_answer() {
    let (_folder, mut server, port, token) = serve_model();
    let (port, token) = (port.as_str(), token.as_str());
    let memory_mib = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10)
    };
    let before = memory_mib();
    let own = format!("Authorization: Bearer {token}\r\n");
    for (request, headers, is_chunked, status, words) in [
        (
            "POST /api/v1/runs/a/predict",
            own.as_str(),
            false,
            "413",
            "300 MiB are too much for one file; at most 64 MiB",
        ),
        ("POST /api/v1/runs/a/predict", &own, true, "413", "the file is larger than 64 MiB"),
        ("POST /api/v1/training", &own, true, "413", "more than 2 MiB"),
        ("POST /api/v1/runs/nosuch/predict", &own, true, "404", "no such run"),
        ("GET /", &own, true, "200", "Trained models"),
        ("POST /api/v1/runs/a/predict", "", false, "401", "open the link"),
        ("POST /api/v1/runs/a/predict", "", true, "401", "open the link"),
    ] {
        let answer = send_large(port, request, headers, is_chunked);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(words),
            "{request}: {answer}"
        );
    }
    // At most the 64 MiB of an image that is not too large.
    let more = memory_mib() - before;
    assert!(more < 128, "{more} MiB");
    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
}

#[test]
fn a_folder_that_is_missing_or_a_port_that_is_taken_is_named() {
    let folder = TempDir::new().unwrap();
    refuses(
        &["serve", "nosuch", "--no-open"],
        2,
        &["cannot read the runs in nosuch", "give a folder"],
        folder.path(),
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let args = ["serve", ".", "--no-open", "--port", &port];
    refuses(&args, 2, &["cannot serve on 127.0.0.1", "another --port"], folder.path());
}

#[test]
fn other_machines_need_a_token_of_the_user_which_is_not_printed() {
    let folder = TempDir::new().unwrap();
    let refuses = |args: &[&str], words: &[&str]| {
        refuses(&[&["serve", ".", "--no-open"], args].concat(), 2, words, folder.path());
    };
    refuses(&["--listen", "0.0.0.0"], &["--token-file"]);
    refuses(&["--token-file", "token"], &["--listen"]);
    refuses(&["--listen", "127.0.0.1", "--token-file", "nosuch"], &["nosuch"]);
    let token = "0123456789abcdef0123456789abcdef";
    std::fs::write(folder.path().join("token"), token).unwrap();
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(folder.path().join("token"), mode(0o644)).unwrap();
    refuses(&["--listen", "127.0.0.1", "--token-file", "token"], &["other users may read it", "chmod 600"]);
    std::fs::set_permissions(folder.path().join("token"), mode(0o600)).unwrap();
    refuses(&["--listen", "0.0.0.0", "--token-file", "token"], &["--host"]);

    let mut command = Command::new(env!("CARGO_BIN_EXE_roentgen"));
    command.args(["serve", ".", "--listen", "0.0.0.0", "--host", "films.example", "--token-file", "token"]);
    command.current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = command.spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut said: String = lines.next().unwrap();
    let (address, _) = said.split_once("/?token=TOKEN").expect("a link");
    let port = address.strip_prefix("http://films.example:").unwrap().to_owned();
    assert!(ask(&port, "GET /").starts_with("HTTP/1.1 401"));
    assert!(ask(&port, &format!("GET /?token={token}")).starts_with("HTTP/1.1 200"));
    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    said.extend(lines);
    server.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("plain HTTP") && said.contains("can use all models"), "{said}");
    assert!(!said.contains(token), "{said}");
}
