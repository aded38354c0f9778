//! Limits of the machine and the process, mostly during a read that consumes its file.

use crate::program::{Done, Home};
use crate::served::Served;

const SIZE: usize = 200_000;

#[test]
fn a_download_without_free_file_descriptors_does_not_consume_the_file() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("big", vec![7; SIZE]);
    let (mut whole, mut rejected) = (0, 0);
    let mut reference = served.run(&["upload", "big"]).line();
    for limit in 4..=32 {
        let script = format!(
            "ulimit -n {limit}; exec \"$0\" --config stores.toml --store fileio download {reference} -o copy-{limit}"
        );
        let done = home.shell(&script);
        let consumed = !served.has_file(&reference);
        let path = home.path().join(format!("copy-{limit}"));
        if done.code == 0 {
            assert_eq!(std::fs::read(path).unwrap(), vec![7; SIZE], "{limit}");
            whole += 1;
        } else {
            assert!(!consumed, "{limit}: {done:?}");
            assert!(!path.with_extension("partial").exists(), "{limit}: nothing was sent: {done:?}");
            rejected += 1;
        }
        // The check above has consumed the file.
        reference = served.run(&["upload", "big"]).line();
    }
    assert!(whole > 0 && rejected > 0, "{whole} whole, {rejected} rejected");
}

/// Returns the beginning of a command that runs another one as a user without other processes and with at most `limit`
/// threads. `None` if this system or user cannot do so.
#[cfg(target_os = "linux")]
fn with_threads(home: &Home, limit: usize) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    std::fs::set_permissions(home.path().join("stores.toml"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let user = "setpriv --reuid 54331 --regid 54331 --clear-groups";
    let can_run = home.shell(&format!("{user} prlimit --nproc=100 -- \"$0\" --version"));
    (can_run.code == 0).then(|| format!("timeout 30 {user} prlimit --nproc={limit} --"))
}

#[cfg(target_os = "linux")]
#[test]
fn too_few_threads_are_an_error_before_a_command_begins() {
    let home = Home::new();
    home.file("stores.toml", "[stores.local]\nbackend = \"memory\"\n");
    let cores = std::thread::available_parallelism().unwrap().get();
    for limit in [1, 2, 3, cores, cores + 1, cores + 2, cores + 6] {
        let Some(limited) = with_threads(&home, limit) else {
            eprintln!("skipped: needs root, setpriv and prlimit");
            return;
        };
        let done = home.shell(&format!("{limited} \"$0\" --config stores.toml stores"));
        if limit < cores + 3 {
            assert!(done.code == 1 && done.err.starts_with("error: cannot start: "), "{limit}: {done:?}");
        } else {
            assert_eq!(done.code, 0, "{limit}: {done:?}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_download_without_free_threads_does_not_consume_the_file() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("big", vec![7; SIZE]);
    let (mut whole, mut rejected) = (0, 0);
    let cores = std::thread::available_parallelism().unwrap().get();
    for limit in 1..=cores + 6 {
        let Some(limited) = with_threads(&home, limit) else {
            eprintln!("skipped: needs root, setpriv and prlimit");
            return;
        };
        for output in ["copy", "-"] {
            let reference = served.run(&["upload", "big"]).line();
            let download = format!("\"$0\" --config stores.toml --store fileio download {reference} -o {output}");
            let done = home.shell(&format!("rm -f copy copy.partial; {limited} {download}"));
            if done.code == 0 {
                let bytes = if output == "-" { done.bytes } else { std::fs::read(home.path().join(output)).unwrap() };
                assert_eq!(bytes, vec![7; SIZE], "{limit}");
                whole += 1;
            } else {
                assert_eq!(done.code, 1, "{limit}: {done:?}");
                assert!(done.err.starts_with("error: ") && done.err.contains("thread"), "{limit}: {done:?}");
                assert!(served.has_file(&reference), "{limit}: {done:?}");
                assert!(!home.path().join("copy.partial").exists(), "{limit}: nothing was sent: {done:?}");
                rejected += 1;
            }
        }
    }
    assert!(whole > 0 && rejected > 0, "{whole} whole, {rejected} rejected");
}

#[test]
fn a_standard_output_that_discards_data_is_an_error_before_the_read() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("big", vec![7; SIZE]);
    let reference = served.run(&["upload", "big"]).line();
    let download = format!("\"$0\" --config stores.toml --store fileio download {reference} -o -");
    for redirection in [">&-", "</dev/null >&0", "1<>/dev/null"] {
        let done = home.shell(&format!("{download} {redirection}"));
        assert_eq!((done.code, served.reads()), (2, 0), "{redirection}: {done:?}");
        assert!(done.err.contains("standard output"), "{redirection}: {done:?}");
    }
    assert!(served.has_file(&reference));
}

#[test]
fn a_result_goes_to_standard_error_if_standard_output_may_be_closed() {
    let home = Home::new();
    let _served = Served::start(&home, &[]);
    home.file("a", "x");
    for redirection in [">&-", "1<>/dev/null"] {
        let done = home.shell(&format!("\"$0\" --config stores.toml --store fileio upload a {redirection}"));
        assert!(done.code == 0 && done.err.contains("stored as fileio:fileio:"), "{redirection}: {done:?}");
        let login = "echo emulator-password | \"$0\" --config stores.toml --store filescom filescom login emulator";
        let done = home.shell(&format!("{login} {redirection}"));
        assert!(done.code == 2 && done.err.contains("the id of the session"), "{redirection}: {done:?}");
    }
}

#[test]
fn a_read_that_consumes_nothing_needs_an_output_that_is_open_for_writing() {
    let home = Home::new();
    home.file("stores.toml", "[stores.local]\nbackend = \"fs\"\nroot = \"files\"\n");
    std::fs::create_dir(home.path().join("files")).unwrap();
    home.file("files/a", "a");
    for command in ["download local:fs:a -o -", "list", "stat local:fs:a"] {
        let done = home.shell(&format!("\"$0\" --config stores.toml {command} </dev/null >&0"));
        assert_eq!(done.code, 2, "{command}: {done:?}");
        assert!(done.err.contains("standard output is not open for writing"), "{command}: {done:?}");
    }
}

#[test]
fn a_standard_input_that_only_seems_empty_is_not_uploaded() {
    let home = Home::new();
    home.file("stores.toml", "[stores.local]\nbackend = \"fs\"\nroot = \"files\"\n");
    std::fs::create_dir(home.path().join("files")).unwrap();
    for redirection in ["<&-", "0>written", "0<>/dev/null"] {
        for name in ["-", "/dev/stdin", "/dev/fd/0"] {
            let done = home.shell(&format!("\"$0\" --config stores.toml upload {name} --name a {redirection}"));
            assert_eq!(done.code, 2, "{redirection}: {done:?}");
            assert!(done.err.contains("standard input"), "{redirection}: {done:?}");
            assert!(!home.path().join("files/a").exists(), "{redirection}");
        }
    }
    assert_eq!(home.shell("\"$0\" --config stores.toml upload - --name a </dev/null").code, 0);
}

#[test]
fn a_file_of_known_size_beyond_the_file_size_limit_is_not_read() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("big", vec![7; SIZE]);
    let reference = served.run(&["upload", "big"]).line();
    for output in ["-o copy", "-o - >copy"] {
        let download = format!("exec \"$0\" --config stores.toml --store fileio download {reference} {output}");
        let done = home.shell(&format!("ulimit -f 100; {download}"));
        assert_eq!(done.code, 5, "{done:?}");
        assert!(done.err.contains("200000 are needed"), "{done:?}");
        let is_partial = |path: &std::path::PathBuf| path.ends_with("copy.partial");
        assert_eq!((served.reads(), home.files_below(".").iter().any(is_partial)), (0, false));
    }
}

#[test]
fn the_beginning_of_a_file_beyond_the_file_size_limit_is_kept() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("big", vec![7; SIZE]);
    home.file(
        "anonymous.toml",
        format!("[stores.fileio]\nbackend = \"fileio\"\nbase_url = \"http://{}\"\n", served.address),
    );
    let reference = served.run(&["upload", "big"]).line();
    let script = format!("ulimit -f 100; exec \"$0\" --config anonymous.toml download {reference} -o copy");
    let done = home.shell(&script);
    assert_eq!(done.code, 8, "{done:?}");
    assert!(done.err.contains("possibly consumed") && done.err.contains("copy.partial"), "{done:?}");
    let kept = std::fs::read(home.path().join("copy.partial")).unwrap();
    assert!(kept.len() >= 50_000 && kept.iter().all(|byte| *byte == 7), "{}", kept.len());
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_that_standard_output_does_not_accept_is_not_lost() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a", "x");
    let reference = served.run(&["upload", "a"]).line();
    let full = std::fs::File::create("/dev/full").unwrap();
    let command = Served::with(&["download", &reference, "-o", "copy"]);
    let output = home.command(&command).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(8), "{output:?}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("the file is stored as copy\n"));
    assert_eq!(std::fs::read(home.path().join("copy")).unwrap(), b"x");
}

#[test]
fn a_downloaded_file_whose_name_is_taken_gets_a_numbered_name() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a.txt", "new");
    let reference = served.run(&["upload", "a.txt"]).line();
    home.file("a.txt", "old");
    let done = served.run(&["download", &reference]);
    assert_eq!((done.code, done.out.as_str()), (0, "a (1).txt\n"), "{done:?}");
    assert!(done.err.contains("warning: a.txt exists"), "{done:?}");
    assert_eq!(std::fs::read(home.path().join("a (1).txt")).unwrap(), b"new");
    assert_eq!(std::fs::read(home.path().join("a.txt")).unwrap(), b"old");
}

#[test]
fn an_unsafe_name_from_the_service_is_sanitized() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a", "x");
    for (name, local) in [(".bashrc", "_bashrc"), ("C:evil.txt", "C_evil.txt"), ("a.txt:stream", "a.txt_stream")] {
        let reference = served.run(&["upload", "a", "--name", name]).line();
        let done = served.run(&["download", &reference]);
        assert_eq!((done.code, done.out), (0, format!("{local}\n")), "{}", done.err);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_standard_output_does_not_accept_goes_to_standard_error_and_exits_with_8() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a", "x");
    let stored = |store: &str| home.run(&["--config", "stores.toml", "--store", store, "upload", "a"]).line();
    let (site, room, drop) = (stored("filescom"), stored("pubnub"), stored("fileio"));
    for (args, named) in [
        (&["filescom", "cp", &site, "b"][..], "copied to filescom:filescom:b\n"),
        (&["filescom", "mv", "filescom:filescom:b", "c"], "moved to filescom:filescom:c\n"),
        (&["--store", "filescom", "filescom", "mkdir", "d"], "the folder is filescom:filescom:d\n"),
        (&["filescom", "share", &site], &format!(": http://{}/f/", served.address)),
        (&["pubnub", "publish", &room], "published with the timetoken 1"),
        (&["fileio", "update", &drop, "--title", "t"], &format!("updated {drop}\n")),
        (&["--store", "fileio", "upload", "a"], "stored as fileio:fileio:"),
    ] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let command = [&["--config", "stores.toml"], args].concat();
        let done = crate::program::done(home.command(&command).stdout(full).output().unwrap());
        assert_eq!(done.code, 8, "{args:?}: {done:?}");
        assert!(done.err.contains(named), "{args:?}: {done:?}");
    }
    let listed = home.run(&["--config", "stores.toml", "--store", "filescom", "list"]).out;
    assert!(listed.contains("filescom:filescom:c") && listed.contains("d/"), "{listed}");
}

/// Runs a command whose standard output is a pipe that its reader has closed.
fn run_with_closed_pipe(home: &Home, args: &[&str]) -> Done {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    crate::program::done(home.command(args).stdout(writer).output().unwrap())
}

#[test]
fn a_command_whose_reader_has_closed_the_pipe_ends_without_a_message() {
    let home = Home::new();
    home.file("big", vec![7; 3_000_000]);
    home.run(&["upload", "big", "--to", "d"]).line();
    home.run(&["upload", "big"]).line();
    for args in [
        &["list"][..],
        &["list", "--json"],
        &["list", "--all", "--recursive"],
        &["stat", "local:fs:big"],
        &["url", "local:fs:big"],
        &["download", "local:fs:big", "-o", "-"],
        &["caps"],
        &["caps", "--json"],
        &["stores"],
        &["config", "show"],
        &["config", "check"],
        &["completions", "bash"],
        &["man"],
    ] {
        let done = run_with_closed_pipe(&home, args);
        assert_eq!((done.code, done.err.as_str()), (141, ""), "{args:?}");
    }
}

#[test]
fn an_upload_whose_reader_has_closed_the_pipe_names_every_file_that_may_be_stored() {
    let home = Home::new();
    let names: Vec<String> = (0..20).map(|number| format!("f{number}")).collect();
    for name in &names {
        home.file(name, name.as_bytes());
    }
    let args: Vec<&str> = ["upload", "--jobs", "2"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let done = run_with_closed_pipe(&home, &args);
    assert_eq!(done.code, 141, "{done:?}");
    for name in &names {
        let is_stored = home.run(&["stat", &format!("local:fs:{name}")]).code == 0;
        let lines = [format!("stored as local:fs:{name}"), format!("stopped, and possibly uploaded: {name}")];
        let is_named = done.err.lines().any(|line| lines.iter().any(|named| named == line));
        assert!(is_named || !is_stored, "{name}: {done:?}");
    }
    // The failure of another input is not hidden.
    assert_eq!(run_with_closed_pipe(&home, &["upload", "missing", "f1"]).code, 2);
}

#[test]
fn reads_that_consume_are_finished_although_the_reader_has_closed_the_pipe() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    let mut args = vec!["download".to_owned(), "-o".to_owned(), ".".to_owned()];
    for number in 0..6 {
        home.file(&format!("f{number}"), vec![number; 200_000]);
        args.push(served.run(&["upload", &format!("f{number}")]).line());
    }
    (0..6).for_each(|number| std::fs::remove_file(home.path().join(format!("f{number}"))).unwrap());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = run_with_closed_pipe(&home, &Served::with(&args));
    assert_eq!(done.code, 141, "{done:?}");
    for (number, reference) in args[3..].iter().enumerate() {
        let is_here = std::fs::read(home.path().join(format!("f{number}"))).is_ok_and(|file| file.len() == 200_000);
        let is_named = done.err.contains(&format!("the file is stored as f{number}"));
        assert_ne!(is_here, served.has_file(reference), "{done:?}");
        assert_eq!(is_here, is_named, "{done:?}");
    }
}

#[test]
fn a_download_whose_reader_has_enough_ends_without_a_message() {
    let home = Home::new();
    home.file("big", vec![7; 3_000_000]);
    home.run(&["upload", "big"]).line();
    let done = home.shell("{ \"$0\" download local:fs:big -o -; echo $? >&2; } | head -c 10");
    assert_eq!((done.bytes.len(), done.err.as_str()), (10, "141\n"));
}

#[test]
fn a_consuming_read_whose_reader_has_closed_the_pipe_says_that_bytes_are_lost() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("big", vec![7; 3_000_000]);
    let reference = served.run(&["upload", "big"]).line();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = home.command(&Served::with(&["download", &reference, "-o", "-"]));
    let child = command.stdout(writer).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(command);
    std::io::Read::read_exact(&mut reader, &mut [0; 1]).unwrap();
    drop(reader);
    let done = crate::program::done(child.wait_with_output().unwrap());
    assert_eq!(done.code, 8, "{done:?}");
    assert!(done.err.contains("possibly consumed") && done.err.contains("Broken pipe"), "{done:?}");
    assert!(done.err.contains("standard output accepted ") && done.err.contains("the rest is lost"), "{done:?}");
    // A file on the disk is not lost.
    let reference = served.run(&["upload", "big"]).line();
    let done = run_with_closed_pipe(&home, &Served::with(&["download", &reference, "-o", "copy"]));
    assert_eq!((done.code, done.err.as_str()), (141, "the file is stored as copy\n"));
}

#[cfg(unix)]
#[test]
fn a_consuming_read_whose_reader_is_gone_already_is_not_sent() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("a", "x");
    let reference = served.run(&["upload", "a"]).line();
    let done = run_with_closed_pipe(&home, &Served::with(&["download", &reference, "-o", "-"]));
    assert_eq!((done.code, done.err.as_str(), served.reads()), (141, "", 0));
    assert!(served.has_file(&reference));
}

/// The emulator stores a large file in a file of its own.
#[cfg(target_os = "linux")]
#[test]
fn an_emulator_beyond_its_file_size_limit_responds_with_507_and_continues() {
    use std::io::BufRead;

    let home = Home::new();
    home.file("big", vec![7; 3_000_000]);
    home.file("small", "x");
    let script = "ulimit -f 2000; exec \"$0\" emulator --listen 127.0.0.1:0 --write-config stores.toml";
    let mut emulator = home.shell_command(script).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufReader::new(emulator.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let upload = |store, name| home.run(&["--config", "stores.toml", "--store", store, "upload", name]);
    let outcomes: Vec<(Done, Done)> =
        ["fileio", "filescom", "pubnub"].map(|store| (upload(store, "big"), upload(store, "small"))).into();
    emulator.kill().unwrap();
    emulator.wait().unwrap();
    for (big, small) in outcomes {
        assert!(big.code != 0 && big.err.contains("507"), "{big:?}");
        assert_eq!(small.code, 0, "{small:?}");
    }
}

#[test]
fn an_error_in_the_middle_of_a_download_names_the_store_and_the_file() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file("big", vec![7; 3_000_000]);
    let key = served.run(&["upload", "big"]).line();
    let name = home.run(&["--config", "stores.toml", "--store", "pubnub", "upload", "big"]).line();
    served.control(
        "PUT",
        "faults",
        "[[fault]]\noperation = \"download\"\ndo = { cut-download = { after = \"50%\" } }\n",
    );
    for (store, reference, shown) in
        [("pubnub", &name, name.clone()), ("fileio", &key, format!("{}...", &key[.."fileio:fileio:".len() + 3]))]
    {
        let done = home.run(&["--config", "stores.toml", "download", reference, "-o", "-"]);
        let begin = format!("error: {store}: download {shown:?}: the connection to ");
        assert!(done.code != 0 && done.err.contains(&begin), "{done:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_non_blocking_mode_loses_nothing_of_a_file_that_is_read_once() {
    use std::io::Read;

    use rustix::fs::{OFlags, fcntl_setfl};

    let home = Home::new();
    let served = Served::start(&home, &[]);
    let content = vec![7; 3_000_000];
    home.file("a", &content);
    let reference = served.run(&["upload", "a"]).line();
    let (mut reader, writer) = std::io::pipe().unwrap();
    fcntl_setfl(&writer, OFlags::WRONLY | OFlags::NONBLOCK).unwrap();
    let mut command = home.command(&Served::with(&["download", &reference, "-o", "-"]));
    let mut child = command.stdout(writer).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(command);
    // Content has been sent that does not fit into the pipe.
    while !served.has_sent() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    let done = crate::program::done(child.wait_with_output().unwrap());
    assert_eq!((done.code, read.len()), (0, content.len()), "{done:?}");
}
