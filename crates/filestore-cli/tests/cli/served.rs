//! An emulator as a process of its own, and what it has seen.

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
    /// Starts it on a free port, with `more` arguments.
    pub(crate) fn start(home: &'a Home, more: &[&str]) -> Self {
        let mut args =
            vec!["emulator", "--listen", "127.0.0.1:0", "--write-config", "stores.toml", "--ready-file", "ready"];
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

    /// Asks the control API.
    pub(crate) fn control(&self, method: &str, path: &str, body: &str) -> String {
        self.ask(method, &format!("/_emulator/{path}"), body)
    }

    /// What a browser gets.
    pub(crate) fn get(&self, path: &str) -> String {
        self.ask("GET", path, "")
    }

    /// Whether the emulated file.io still has the file. Where it has, this reads it.
    pub(crate) fn has_file(&self, reference: &str) -> bool {
        let key = reference.rsplit(':').next().unwrap();
        match self.answer("GET", &format!("/{key}"), "") {
            answer if answer.starts_with("HTTP/1.1 200") => true,
            answer if answer.starts_with("HTTP/1.1 404") => false,
            answer => panic!("{answer}"),
        }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let answer = self.answer(method, path, body);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 2"), "{answer}");
        body.to_owned()
    }

    fn answer(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn journal(&self) -> Vec<Value> {
        let journal: Value = serde_json::from_str(&self.control("GET", "journal", "")).unwrap();
        journal["entries"].as_array().unwrap().clone()
    }

    /// The operations that it was asked for, in order.
    pub(crate) fn operations(&self) -> Vec<String> {
        self.journal().iter().map(|entry| entry["operation"].as_str().unwrap_or("none").to_owned()).collect()
    }

    /// Whether bytes of a file were sent.
    pub(crate) fn has_sent(&self) -> bool {
        let sent = |entry: &Value| entry["operation"] == "download" && entry["bytes_out"].as_u64() > Some(0);
        self.journal().iter().any(sent)
    }

    /// How many requests were a read of a file.
    pub(crate) fn reads(&self) -> usize {
        self.operations().iter().filter(|operation| *operation == "download").count()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end by itself.
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
