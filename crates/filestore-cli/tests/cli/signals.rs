//! Signals at any moment of a read that consumes its file: the program prints where the bytes are, or the file was
//! not consumed. Each signal has `SIGNAL_RUNS` runs, 20 by default.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::sleep;
use std::time::Duration;

use crate::program::{Home, done, kill};
use crate::served::Served;

const SIZE: usize = 300_000;

/// A response that is delayed before its headers and then sends its body slowly.
const SLOW: &str = r#"
[[fault]]
operation = "download"
do = { latency = { delay = "100ms" } }

[[fault]]
operation = "download"
do = { slow = { bytes_per_second = 250000 } }
"#;

/// Pseudorandom delays that are the same in each run (xorshift).
struct Delays(u64);

impl Delays {
    fn next(&mut self, below: u64) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(self.0 % below)
    }
}

#[test]
fn an_interrupted_read_that_consumes_says_where_its_bytes_are() {
    no_byte_is_lost("INT", 130);
}

#[test]
fn a_terminated_read_that_consumes_says_where_its_bytes_are() {
    no_byte_is_lost("TERM", 143);
}

#[test]
fn a_read_that_consumes_whose_terminal_hangs_up_says_where_its_bytes_are() {
    no_byte_is_lost("HUP", 129);
}

/// The program ignores a signal that its parent ignores, as `nohup` does.
#[test]
fn a_signal_that_the_parent_ignores_does_not_end_a_read() {
    let home = Home::new();
    home.file("small", "all of it");
    let served = Served::start(&home, &[]);
    for signal in ["HUP", "INT", "QUIT"] {
        let reference = served.run(&["upload", "small"]).line();
        served.control("PUT", "faults", "[[fault]]\noperation = \"download\"\ndo = { latency = { delay = \"1s\" } }\n");
        served.control("DELETE", "journal", "");
        let script =
            format!("trap '' {signal}; exec \"$0\" --config stores.toml --store fileio download {reference} -o -");
        let child = home.shell_command(&script).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while served.reads() == 0 {
            sleep(Duration::from_millis(5));
        }
        kill(&child, signal);
        let done = done(child.wait_with_output().unwrap());
        assert_eq!((done.code, done.out.as_str()), (0, "all of it"), "{signal}: {done:?}");
    }
}

/// The signals end a program by default, and people and supervisors send them.
#[test]
fn every_signal_that_ends_a_consuming_read_reports_where_its_bytes_are() {
    let home = Home::new();
    home.file("big", vec![7; SIZE]);
    let served = Served::start(&home, &[]);
    for (signal, code) in
        [("QUIT", 131), ("USR1", 138), ("USR2", 140), ("ALRM", 142), ("XCPU", 152), ("VTALRM", 154), ("PROF", 155)]
    {
        let reference = served.run(&["upload", "big"]).line();
        served.control("PUT", "faults", SLOW);
        served.control("DELETE", "journal", "");
        let copy = format!("copy-{signal}");
        let child = home.start(&Served::with(&["download", &reference, "-o", &copy]));
        let partial = home.path().join(format!("{copy}.partial"));
        while partial.metadata().map_or(0, |metadata| metadata.len()) == 0 {
            sleep(Duration::from_millis(5));
        }
        kill(&child, signal);
        let done = done(child.wait_with_output().unwrap());
        assert_eq!(done.code, code, "{signal}: {done:?}");
        assert!(done.err.contains("possibly consumed") && done.err.contains(&format!("{copy}.partial")), "{done:?}");
        assert!(partial.metadata().unwrap().len() > 0);
    }
}

/// A reader that does not read takes 64 KiB, the buffer of a pipe.
#[test]
fn a_signal_tells_how_much_standard_output_has_accepted() {
    let home = Home::new();
    home.file("big", vec![7; SIZE]);
    let served = Served::start(&home, &[]);
    let reference = served.run(&["upload", "big"]).line();
    let (mut output, writer) = std::io::pipe().unwrap();
    let child = home
        .interruptible_command(&Served::with(&["download", &reference, "-o", "-"]))
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    output.read_exact(&mut [0; 1]).unwrap();
    kill(&child, "TERM");
    let done = done(child.wait_with_output().unwrap());
    assert_eq!(done.code, 143, "{done:?}");
    assert!(done.err.contains("standard output accepted") && done.err.contains("the rest is lost"), "{done:?}");
}

#[test]
fn a_reference_that_standard_output_has_not_accepted_at_a_signal_is_not_lost() {
    let home = Home::new();
    home.file("small", "x");
    let served = Served::start(&home, &[]);
    let (_unread, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'x'; 65_536]).unwrap();
    let child = home
        .interruptible_command(&Served::with(&["upload", "small"]))
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !served.run(&["list"]).out.contains("small") {
        sleep(Duration::from_millis(5));
    }
    for _ in 0..2 {
        kill(&child, "TERM");
    }
    let done = done(child.wait_with_output().unwrap());
    assert_eq!(done.code, 143, "{done:?}");
    // The signal may come before the response to the upload.
    assert!(done.err.contains("stored as fileio:fileio:") || done.err.contains("may have taken effect"), "{done:?}");
}

#[test]
fn a_standard_error_that_is_not_read_does_not_stop_the_end_by_a_signal() {
    let home = Home::new();
    home.file("big", vec![7; SIZE]);
    let served = Served::start(&home, &[]);
    let reference = served.run(&["upload", "big"]).line();
    served.control("PUT", "faults", SLOW);
    let (_unread, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'x'; 65_536]).unwrap();
    let mut child = home
        .interruptible_command(&Served::with(&["--quiet", "download", &reference, "-o", "copy"]))
        .stdout(Stdio::null())
        .stderr(writer)
        .spawn()
        .unwrap();
    let partial = home.path().join("copy.partial");
    while partial.metadata().map_or(0, |metadata| metadata.len()) == 0 {
        sleep(Duration::from_millis(5));
    }
    for _ in 0..2 {
        kill(&child, "TERM");
    }
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(partial.metadata().unwrap().len() > 0);
}

#[test]
fn an_interrupted_read_finds_its_partial_file_after_a_move_a_removal_or_a_replacement() {
    let home = Home::new();
    home.file("big", vec![7; SIZE]);
    let served = Served::start(&home, &[]);
    for change in ["moved", "removed", "replaced"] {
        let reference = served.run(&["upload", "big"]).line();
        served.control("PUT", "faults", SLOW);
        let folder = home.path().join(change);
        std::fs::create_dir(&folder).unwrap();
        let child = home.start(&Served::with(&["download", &reference, "-o", &format!("{change}/copy")]));
        let partial = folder.join("copy.partial");
        while partial.metadata().map_or(0, |metadata| metadata.len()) == 0 {
            sleep(Duration::from_millis(5));
        }
        match change {
            "moved" => std::fs::rename(&partial, folder.join("elsewhere")).unwrap(),
            _ => std::fs::remove_file(&partial).unwrap(),
        }
        if change == "replaced" {
            std::fs::write(&partial, "of another process").unwrap();
        }
        kill(&child, "TERM");
        let done = done(child.wait_with_output().unwrap());
        assert_eq!(done.code, 143, "{change}: {done:?}");
        let (_, path) =
            done.err.lines().find(|line| line.contains("possibly consumed")).unwrap().rsplit_once(" in ").unwrap();
        let kept = std::fs::read(path).unwrap();
        assert!(!kept.is_empty() && kept.iter().all(|byte| *byte == 7), "{change}: {done:?}");
        if change == "replaced" {
            assert_eq!(std::fs::read(&partial).unwrap(), b"of another process");
        }
    }
}

#[test]
fn an_interrupted_read_does_not_claim_that_lost_bytes_are_kept() {
    let home = Home::new();
    home.file("big", vec![7; SIZE]);
    let served = Served::start(&home, &[]);
    let reference = served.run(&["upload", "big"]).line();
    served.control("PUT", "faults", SLOW);
    let folder = home.path().join("removed");
    std::fs::create_dir(&folder).unwrap();
    let child = home.start(&Served::with(&["download", &reference, "-o", "removed/copy"]));
    let partial = folder.join("copy.partial");
    while partial.metadata().map_or(0, |metadata| metadata.len()) == 0 {
        sleep(Duration::from_millis(5));
    }
    std::fs::remove_dir_all(&folder).unwrap();
    kill(&child, "TERM");
    let done = done(child.wait_with_output().unwrap());
    assert_eq!(done.code, 143, "{done:?}");
    assert!(done.err.contains("possibly consumed; nothing of it is kept: cannot copy"), "{done:?}");
    assert!(!done.err.contains("bytes that arrived were written to"), "{done:?}");
}

#[test]
fn an_interrupted_program_waits_for_the_response_to_a_read_that_was_sent() {
    let home = Home::new();
    home.file("small", "all of it");
    let served = Served::start(&home, &[]);
    let reference = served.run(&["upload", "small"]).line();
    served.control("PUT", "faults", "[[fault]]\noperation = \"download\"\ndo = { latency = { delay = \"2s\" } }\n");
    let child = home.start(&Served::with(&["download", &reference, "-o", "copy"]));
    while served.reads() == 0 {
        sleep(Duration::from_millis(5));
    }
    assert!(!served.has_sent());
    kill(&child, "INT");
    let done = done(child.wait_with_output().unwrap());
    assert_eq!((done.code, done.out.as_str()), (130, "copy\n"), "{done:?}");
    assert!(done.err.contains("waiting up to 5 s"), "{done:?}");
    assert_eq!(std::fs::read(home.path().join("copy")).unwrap(), b"all of it");
}

/// The program cannot know whether a byte of the request was sent. Here, none was: the server does not answer the
/// handshake of TLS.
#[test]
fn a_signal_before_a_response_does_not_claim_that_the_read_was_sent() {
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("https://{}", listener.local_addr().unwrap());
    home.file("stores.toml", format!("[stores.fileio]\nbackend = \"fileio\"\nbase_url = \"{base_url}\"\n"));
    let args = Served::with(&["download", "fileio:fileio:Ab12Cd34Ef56", "-o", "copy"]);
    let mut child = home.interruptible_command(&args).stderr(Stdio::piped()).spawn().unwrap();
    let _connection = listener.accept().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut interrupt_and_read = || {
        kill(&child, "INT");
        lines.next().unwrap().unwrap()
    };
    let waiting = interrupt_and_read();
    assert!(waiting.contains("the response to the read, which may have been sent;"), "{waiting}");
    let ended = interrupt_and_read();
    assert!(ended.contains("possibly consumed; 0 bytes of it are kept in"), "{ended}");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[expect(clippy::print_stdout, reason = "the figures of a long run")]
fn no_byte_is_lost(signal: &str, code: i32) {
    let runs = std::env::var("SIGNAL_RUNS").map_or(20, |runs| runs.parse().unwrap());
    let home = Home::new();
    let content: Vec<u8> = (0..SIZE).map(|at| (at / 7 % 251) as u8).collect();
    home.file("big", &content);
    let served = Served::start(&home, &[]);
    let mut delays = Delays(0x9E37_79B9_7F4A_7C15 ^ code.unsigned_abs() as u64);
    let (mut before_headers, mut after_headers, mut partial) = (0, 0, 0);
    for run in 0..runs {
        let reference = served.run(&["upload", "big"]).line();
        served.control("PUT", "faults", SLOW);
        served.control("DELETE", "journal", "");
        let folder = format!("run-{run}");
        std::fs::create_dir(home.path().join(&folder)).unwrap();
        let target = match run % 3 {
            0 => format!("{folder}/copy"),
            1 => folder.clone(),
            _ => "-".to_owned(),
        };
        let child = home.start(&Served::with(&["download", &reference, "-o", &target]));
        // A quarter of the signals are sent around the request, the others during the response.
        if run % 4 == 0 {
            sleep(delays.next(200));
        } else {
            while served.reads() == 0 {
                sleep(Duration::from_millis(5));
            }
            sleep(delays.next(900));
        }
        let (sent, at_signal) = (served.has_sent(), kept(&home, &folder).map_or(0, |(_, kept)| kept.len()));
        // The signal fails if the program has ended already.
        let _ = Command::new("kill").args(["-s", signal, &child.id().to_string()]).stderr(Stdio::null()).status();
        let done = done(child.wait_with_output().unwrap());

        served.control("DELETE", "faults", "");
        let consumed = !served.has_file(&reference);
        let printed = if target == "-" { done.err.clone() } else { format!("{}\n{}", done.out, done.err) };
        assert!([0, code, -1].contains(&done.code), "{signal} {run}: {printed}");
        match kept(&home, &folder) {
            Some((path, kept)) => {
                assert!(content.starts_with(&kept), "{signal} {run}: other bytes");
                assert!(kept.len() >= at_signal, "{signal} {run}: {} bytes of {at_signal}", kept.len());
                assert!(done.code != 0 || kept.len() == SIZE, "{signal} {run}");
                let reported = printed.lines().any(|line| line.ends_with(&path));
                assert!(reported || !consumed, "{signal} {run}: the output does not name {path}: {printed}");
                let whole = !path.ends_with(".partial");
                partial += usize::from(!whole && consumed);
                assert!(!consumed || whole || done.err.contains("possibly consumed"), "{signal} {run}: {printed}");
            }
            None if target == "-" => {
                assert!(content.starts_with(&done.bytes), "{signal} {run}: other bytes");
                assert!(done.code != 0 || done.bytes.len() == SIZE, "{signal} {run}");
                let reported = done.bytes.len() == SIZE || done.err.contains("possibly consumed");
                assert!(reported || !consumed, "{signal} {run}: {printed}");
                partial += usize::from(consumed && done.bytes.len() < SIZE);
            }
            None => assert!(!consumed, "{signal} {run}: consumed, and nothing is kept: {printed}"),
        }
        after_headers += usize::from(sent && done.code != 0);
        before_headers += usize::from(!sent);
    }
    println!(
        "{signal}: {runs} runs, {before_headers} before the headers, {after_headers} after them, {partial} partial"
    );
    assert!(after_headers * 10 >= runs * 3, "{signal}: only {after_headers} of {runs} were after the headers");
    assert!(partial > 0, "{signal}: none of {runs} runs was ended in the middle");
}

/// Returns the path and the content of the file that a run has left in its folder.
fn kept(home: &Home, folder: &str) -> Option<(String, Vec<u8>)> {
    let files = home.files_below(folder);
    assert!(files.len() <= 1, "{files:?}");
    let file = files.first()?;
    // The file may be renamed at this moment.
    let content = std::fs::read(file).ok()?;
    Some((file.strip_prefix(home.path()).unwrap().to_str().unwrap().to_owned(), content))
}

#[test]
fn a_signal_during_a_change_warns_that_the_change_may_have_taken_effect() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a", "x");
    let run =
        |store: &str, args: &[&str]| home.run(&[&["--config", "stores.toml", "--store", store], args].concat()).line();
    let (site, room, drop) =
        (run("filescom", &["upload", "a"]), run("pubnub", &["upload", "a"]), run("fileio", &["upload", "a"]));
    served.control("PUT", "faults", "[[fault]]\ndo = { latency = { delay = \"60s\" } }\n");
    for (store, args, changes) in [
        ("fileio", &["upload", "a"][..], true),
        ("filescom", &["upload", "a"], true),
        ("filescom", &["filescom", "cp", &site, "b"], true),
        ("filescom", &["filescom", "mv", &site, "b"], true),
        ("filescom", &["filescom", "share", &site], true),
        ("filescom", &["filescom", "mkdir", "d"], true),
        ("pubnub", &["pubnub", "publish", &room], true),
        ("fileio", &["fileio", "update", &drop, "--title", "t"], true),
        ("fileio", &["delete", &drop], true),
        ("fileio", &["list"], false),
        ("filescom", &["stat", &site], false),
    ] {
        for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
            served.control("DELETE", "journal", "");
            let child = home.start(&[&["--config", "stores.toml", "--store", store], args].concat());
            while served.operations().is_empty() {
                sleep(Duration::from_millis(5));
            }
            kill(&child, signal);
            let done = done(child.wait_with_output().unwrap());
            assert_eq!(done.code, code, "{args:?}: {done:?}");
            let warnings = done.err.matches("may have taken effect; check before you retry it").count();
            assert_eq!(warnings, usize::from(changes), "{args:?}: {done:?}");
        }
    }
}

/// Serves one request of S3's multipart protocol. The response to a part never comes.
fn serve_multipart(mut stream: TcpStream, requests: &mpsc::Sender<String>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    let document = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
    let response = match line.split(' ').next() {
        Some("POST") => {
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{document}", document.len())
        }
        Some("DELETE") => "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_owned(),
        _ => String::new(),
    };
    let _ = requests.send(line);
    if response.is_empty() {
        let _ = stream.read_to_end(&mut Vec::new());
    } else {
        stream.write_all(response.as_bytes()).unwrap();
    }
}

#[test]
fn an_interrupted_upload_in_parts_is_aborted() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let home = Home::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let sender = sender.clone();
                std::thread::spawn(move || serve_multipart(stream.unwrap(), &sender));
            }
        });
        home.file(
            "stores.toml",
            format!(
                "[stores.s3]\nbackend = \"opendal\"\nservice = \"s3\"\n[stores.s3.options]\nbucket = \"b\"\n\
                 region = \"r\"\nendpoint = {endpoint:?}\naccess_key_id = \"a\"\nsecret_access_key = \"s\"\n"
            ),
        );
        home.file("big", vec![7; 20_000_000]);
        let child = home.start(&["--config", "stores.toml", "upload", "big"]);
        while !requests.recv().unwrap().starts_with("PUT ") {}
        kill(&child, signal);
        let done = done(child.wait_with_output().unwrap());
        assert_eq!(done.code, code, "{done:?}");
        let later: Vec<String> = requests.try_iter().collect();
        assert!(later.iter().any(|line| line.starts_with("DELETE ") && line.contains("uploadId=u")), "{later:?}");
    }
}
