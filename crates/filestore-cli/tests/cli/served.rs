//! An emulator in a separate process, with access to its journal.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::program::{Done, Home};

/// A running `filestore emulator`, killed when it is dropped.
pub(crate) struct Served<'a> {
    home: &'a Home,
    child: Child,
    pub address: String,
}

impl<'a> Served<'a> {
    /// Starts the emulator on a free port, with `more` arguments.
    pub(crate) fn start(home: &'a Home, more: &[&str]) -> Self {
        Self::start_on(home, "127.0.0.1:0", more)
    }

    /// Starts the emulator on the address `listen`, with `more` arguments.
    pub(crate) fn start_on(home: &'a Home, listen: &str, more: &[&str]) -> Self {
        let mut args = vec!["emulator", "--listen", listen, "--write-config", "stores.toml", "--ready-file", "ready"];
        args.extend(more);
        let mut child = home.command(&args).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect(&line).to_owned();
        let ready = std::fs::read_to_string(home.path().join("ready")).unwrap();
        assert_eq!(ready, format!("http://{address}\n"));
        Self { home, child, address }
    }

    /// Runs a command against the emulated file.io.
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        self.home.run(&Self::with(args))
    }

    pub(crate) fn with<'b>(args: &[&'b str]) -> Vec<&'b str> {
        let mut all = vec!["--config", "stores.toml", "--store", "fileio"];
        all.extend(args);
        all
    }

    /// Sends a request to the control API, and returns the body of the response.
    pub(crate) fn control(&self, method: &str, path: &str, body: &str) -> String {
        self.request(method, &format!("/_emulator/{path}"), body)
    }

    /// Returns the body that a browser gets from `path`.
    pub(crate) fn get(&self, path: &str) -> String {
        self.request("GET", path, "")
    }

    /// Returns `true` if the emulated file.io still has the file. The check reads the file, and so consumes it.
    pub(crate) fn has_file(&self, reference: &str) -> bool {
        let key = reference.rsplit(':').next().unwrap();
        match self.response("GET", &format!("/{key}"), "") {
            response if response.starts_with("HTTP/1.1 200") => true,
            response if response.starts_with("HTTP/1.1 404") => false,
            response => panic!("{response}"),
        }
    }

    fn request(&self, method: &str, path: &str, body: &str) -> String {
        let response = self.response(method, path, body);
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 2"), "{response}");
        body.to_owned()
    }

    fn response(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        String::from_utf8_lossy(&response).into_owned()
    }

    fn journal(&self) -> Vec<Value> {
        let journal: Value = serde_json::from_str(&self.control("GET", "journal", "")).unwrap();
        journal["entries"].as_array().unwrap().clone()
    }

    /// Returns the operations that clients requested, in order.
    pub(crate) fn operations(&self) -> Vec<String> {
        self.journal().iter().map(|entry| entry["operation"].as_str().unwrap_or("none").to_owned()).collect()
    }

    /// Returns the number of messages that clients published on PubNub.
    pub(crate) fn messages(&self) -> usize {
        self.journal().iter().filter(|entry| entry["path"].as_str().unwrap().contains("/publish-file/")).count()
    }

    /// Returns `true` if the emulator has sent bytes of a file.
    pub(crate) fn has_sent(&self) -> bool {
        let sent = |entry: &Value| entry["operation"] == "download" && entry["bytes_out"].as_u64() > Some(0);
        self.journal().iter().any(sent)
    }

    /// Returns the number of requests that read a file.
    pub(crate) fn reads(&self) -> usize {
        self.operations().iter().filter(|operation| *operation == "download").count()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until the process exits, and returns its exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
