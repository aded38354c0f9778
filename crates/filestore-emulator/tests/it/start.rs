//! Start, the ready file and the configuration file, and shutdown.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use filestore_emulator::{Emulator, Options, StartError};
use reqwest::StatusCode;
use tokio::io::AsyncWriteExt;

use crate::support::{RequestExt, service, service_with};

fn file(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path
}

#[tokio::test]
async fn the_ready_file_is_one_line_with_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let (ready_file, write_config) = (folder.path().join("ready"), folder.path().join("stores.toml"));
    let options = Options {
        ready_file: Some(ready_file.clone()),
        write_config: Some(write_config.clone()),
        ..Options::default()
    };
    let emulator = Emulator::start(options).await.unwrap();
    assert_eq!(fs::read_to_string(ready_file).unwrap(), format!("http://{}\n", emulator.addr()));
    assert_eq!(emulator.url(), format!("http://{}", emulator.addr()));
    let base = emulator.url();
    assert_eq!(
        fs::read_to_string(write_config).unwrap(),
        format!(
            r#"[stores.pubnub]
backend = "pubnub"
base_url = "{base}"
publish_key = "pub-c-emulator"
subscribe_key = "sub-c-emulator"
user_id = "emulator-user"
channel = "emulator"

[stores.filescom]
backend = "filescom"
base_url = "{base}"
api_key = "filescomemulatorkey"

[stores.fileio]
backend = "fileio"
base_url = "{base}"
api_key = "FILEIO0.EMULATO-RKEY000-0000000-0000000"
"#
        )
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");
}

#[tokio::test]
async fn a_file_that_no_emulator_wrote_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| Some(folder.path().join(name));
    let with = |ready_file, write_config| Options { ready_file, write_config, ..Options::default() };
    for content in ["[stores.pubnub]\nbackend = \"pubnub\"\nuser_id = \"me\"\n", "notes\n", "http://a\nhttp://b\n"] {
        let existing = file(folder.path(), "existing", content);
        for options in [with(None, path("existing")), with(path("existing"), None)] {
            let error = Emulator::start(options).await.unwrap_err().to_string();
            assert!(error.contains("give another path"), "{error}");
            assert_eq!(fs::read_to_string(&existing).unwrap(), content);
        }
    }
    // Empty files and files of an earlier emulator are replaced, also if a script added lines.
    file(folder.path(), "ready", "");
    for _ in 0..2 {
        let emulator = Emulator::start(with(path("ready"), path("config"))).await.unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("ready")).unwrap(), format!("{}\n", emulator.url()));
        let config = fs::read_to_string(folder.path().join("config")).unwrap();
        assert!(config.contains(emulator.url()) && !config.contains("secret_key"), "{config}");
        file(folder.path(), "config", &format!("{config}secret_key = \"S\"\n"));
        emulator.shutdown().await;
    }
}

#[tokio::test]
async fn links_and_the_configuration_begin_with_the_public_url() {
    let folder = tempfile::tempdir().unwrap();
    let write_config = folder.path().join("stores.toml");
    let credentials =
        file(folder.path(), "users.json", r#"{"fileio":{"accounts":[{"name":"me","api_key":"MINE","plan":"paid"}]}}"#);
    let options = Options {
        public_url: Some("https://share.example.org/files/".into()),
        write_config: Some(write_config.clone()),
        credentials: Some(credentials),
        ..Options::default()
    };
    let emulator = Emulator::start(options).await.unwrap();
    assert_eq!(emulator.url(), "https://share.example.org/files");
    let config = fs::read_to_string(write_config).unwrap();
    assert!(config.contains("base_url = \"https://share.example.org/files\"\napi_key = \"MINE\"\n"), "{config}");
}

/// Scripts add a secret key themselves. With two of them the file would be invalid TOML.
#[tokio::test]
async fn the_configuration_never_has_a_secret_key() {
    let folder = tempfile::tempdir().unwrap();
    let write_config = folder.path().join("stores.toml");
    let options =
        Options { write_config: Some(write_config.clone()), pubnub_require_signature: true, ..Options::default() };
    let _emulator = Emulator::start(options).await.unwrap();
    let config = fs::read_to_string(&write_config).unwrap();
    assert!(!config.contains("secret_key") && !config.contains("cipher_key"), "{config}");
}

#[tokio::test]
async fn without_accounts_the_configuration_has_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let write_config = folder.path().join("stores.toml");
    let credentials = Some(file(folder.path(), "users.toml", "[fileio]\n"));
    let options = Options { write_config: Some(write_config.clone()), credentials, ..Options::default() };
    let emulator = Emulator::start(options).await.unwrap();
    let config = fs::read_to_string(write_config).unwrap();
    assert!(config.ends_with(&format!("backend = \"fileio\"\nbase_url = \"{}\"\n", emulator.url())), "{config}");
}

#[tokio::test]
async fn an_emulator_off_loopback_needs_credentials_and_a_control_token() {
    let folder = tempfile::tempdir().unwrap();
    let users = r#"{"fileio":{"accounts":[{"name":"me","api_key":"MINE","plan":"paid"}]}}"#;
    let credentials = Some(file(folder.path(), "users.json", users));
    let control_token = Some("secret".to_owned());
    let exposed = || Options { listen: "0.0.0.0:0".parse().unwrap(), ..Options::default() };
    for options in [
        exposed(),
        Options { credentials: credentials.clone(), ..exposed() },
        Options { control_token: control_token.clone(), ..exposed() },
    ] {
        let error = Emulator::start(options).await.unwrap_err();
        assert!(matches!(error, StartError::Exposed(_)), "{error}");
    }
    Emulator::start(Options { credentials, control_token, ..exposed() }).await.unwrap();
}

#[tokio::test]
async fn the_fixed_credentials_with_a_public_url_off_loopback_cause_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = Some(file(folder.path(), "users.toml", "[fileio]\n"));
    let public_url = Some("https://share.example.org".to_owned());
    let emulator = Emulator::start(Options { public_url: public_url.clone(), ..Options::default() }).await.unwrap();
    let [warning] = emulator.warnings() else { panic!("{:?}", emulator.warnings()) };
    assert!(warning.contains("the fixed credentials are public") && warning.contains("--credentials"), "{warning}");
    let here = Some("http://localhost:8080".to_owned());
    for options in [
        Options::default(),
        Options { public_url: here, ..Options::default() },
        Options { public_url, credentials, ..Options::default() },
    ] {
        let emulator = Emulator::start(options).await.unwrap();
        assert!(emulator.warnings().is_empty(), "{:?}", emulator.warnings());
    }
}

async fn rejection(options: Options) -> String {
    Emulator::start(options).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_wrong_credentials_file_is_rejected_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    for (content, expected) in [
        ("[fileio]\nanonymus = {}", "anonymus"),
        ("[fileoi]", "fileoi"),
        ("[[fileio.accounts]]\nname = \"a\"\napi_key = \"K\"\nplan = \"gold\"", "gold"),
        ("[[fileio.accounts]]\nname = \"a\"\napi_key = \"with space\"\nplan = \"free\"", "api_key"),
        (
            "[[fileio.accounts]]\nname = \"a\"\napi_key = \"K\"\nplan = \"free\"\n\
             [[fileio.accounts]]\nname = \"b\"\napi_key = \"K\"\nplan = \"free\"",
            "another account's",
        ),
    ] {
        let credentials = Some(file(folder.path(), "users.toml", content));
        let message = rejection(Options { credentials, ..Options::default() }).await;
        assert!(message.contains("users.toml") && message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn the_error_of_a_credentials_file_does_not_show_the_line_with_the_key() {
    let folder = tempfile::tempdir().unwrap();
    for line in ["api_key = CANARY", "api_key = \"CANARY", "api_key = \"CANARY\", plan = \"paid\""] {
        let content = format!("[[fileio.accounts]]\nname = \"a\"\n{line}\nplan = \"paid\"");
        let credentials = Some(file(folder.path(), "users.toml", &content));
        let error = Emulator::start(Options { credentials, ..Options::default() }).await.unwrap_err();
        let message = format!("{error} {error:?}");
        assert!(message.contains("line 3") && !message.contains("CANARY"), "{message}");
    }
}

#[tokio::test]
async fn a_public_url_with_a_password_is_rejected_without_showing_it() {
    let public_url = Some("http://me:CANARY@share.example.org".to_owned());
    let error = Emulator::start(Options { public_url, ..Options::default() }).await.unwrap_err();
    let message = format!("{error} {error:?}");
    assert!(message.contains("must not hold a user") && !message.contains("CANARY"), "{message}");
}

#[tokio::test]
async fn a_wrong_fault_file_is_rejected_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    for (content, expected) in [
        ("[[fault]]\noperation = \"download\"\ndo = \"explode\"", "line 3"),
        ("[[fault]]\ndo = \"lost-answer\"\ncolour = 1", "unknown field `colour`"),
        ("[[fault]]\ndo = { latency = { delay = \"soon\" } }", "250ms"),
        ("[[fault]]\ndo = { truncate = { keep = \"150%\" } }", "100%"),
        ("[[fault]]\ndo = { status = { code = 99 } }", "200 to 999"),
        ("[[fault]]\nnth = 0\ndo = \"lost-answer\"", "line 2"),
        ("[[fault]]\ntimes = 0\ndo = \"lost-answer\"", "line 2"),
        (
            "[[fault]]\nservice = \"fileio\"\noperation = \"upload\"\nkey = \"A\"\ndo = \"lost-answer\"",
            "no key in its path",
        ),
        ("[[fault]]\nprobability = 2\ndo = \"lost-answer\"", "0 to 1"),
        (
            "\n[[fault]]\noperation = \"downlaod\"\ndo = \"lost-answer\"",
            "line 2: `operation = \"downlaod\"` does not exist",
        ),
        ("[[fault]]\noperation = \"me\"\ndo = \"no-disposition\"", "has no effect on `operation = \"me\"`"),
        ("[[fault]]\nservice = \"fileio\"\npart = 1\ndo = \"lost-answer\"", "`part` matches nothing"),
        ("[[fault]]\nservice = \"fileio\"\nstep = \"begin\"\ndo = \"lost-answer\"", "`step` matches nothing"),
        ("[[fault]]\noperation = \"upload\"\nstep = \"middle\"\ndo = \"lost-answer\"", "there are generate-upload-url"),
        ("[[fault]]\nservice = \"pubnub\"\ndo = \"gen1\"", "has no effect on this service"),
        ("[[fault]]\noperation = \"me\"", "do"),
        ("[[faults]]", "faults"),
    ] {
        let faults = Some(file(folder.path(), "faults.toml", content));
        let message = rejection(Options { faults, ..Options::default() }).await;
        assert!(message.contains("faults.toml") && message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn an_error_names_the_path_or_address_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no/such");
    let taken = service().await;
    for (options, expected) in [
        (Options { listen: taken.emulator.addr(), ..Options::default() }, "cannot listen on 127.0.0.1"),
        (Options { faults: Some(missing.clone()), ..Options::default() }, "no/such"),
        (Options { credentials: Some(missing.clone()), ..Options::default() }, "no/such"),
        (Options { ready_file: Some(missing.clone()), ..Options::default() }, "no/such"),
        (Options { write_config: Some(missing), ..Options::default() }, "no/such"),
        (Options { data_dir: Some("/dev/null/x".into()), ..Options::default() }, "data directory /dev/null/x"),
        (Options { public_url: Some("ftp://x".into()), ..Options::default() }, "ftp://x"),
        (Options { public_url: Some("http://x/?q".into()), ..Options::default() }, "http://x/?q"),
        (Options { control_token: Some("a b".into()), ..Options::default() }, "control token"),
    ] {
        let message = rejection(options).await;
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn a_fault_file_applies_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Some(file(folder.path(), "faults.json", r#"{"fault":[{"do":{"status":{"code":503}}}]}"#));
    let service = service_with(Options { faults, ..Options::default() }).await;
    assert_eq!(service.get("/me").json_with(StatusCode::SERVICE_UNAVAILABLE).await["code"], "SERVICE_UNAVAILABLE");
}

#[tokio::test]
async fn a_shutdown_lets_a_download_finish() {
    let service = service().await;
    let content = vec![3; 4_000_000];
    let path = service.share(&content).await;
    let response = service.get(&path).response().await;
    let (_, body) = tokio::join!(service.emulator.shutdown(), response.bytes());
    assert!(body.unwrap() == content);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_stalled_requests() {
    let service = service().await;
    let mut stream = service.connect().await;
    stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf").await.unwrap();
    while service.emulator.journal().is_empty() {
        tokio::task::yield_now().await;
    }
    let begin = Instant::now();
    service.emulator.shutdown().await;
    assert!(begin.elapsed() < Duration::from_secs(10));
}
