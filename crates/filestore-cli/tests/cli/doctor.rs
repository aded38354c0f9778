//! `filestore doctor`: each problem is found on a store that has it, with what to do and its exit code, and nothing is
//! left.

use std::net::TcpListener;

use serde_json::Value;

use crate::program::{Done, Home};
use crate::served::Served;

/// Runs `filestore doctor` on one store of a configuration.
fn examine(home: &Home, config: &str, store: &str) -> Done {
    home.run(&["--config", config, "--json", "doctor", store])
}

/// Returns the result and the detail of a check.
fn found(done: &Done, check: &str) -> (String, String) {
    let lines: Vec<Value> = done.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    let line = lines.iter().find(|line| line["check"] == check).unwrap_or_else(|| panic!("no {check}: {done:?}"));
    (text(line, "result"), text(line, "detail"))
}

/// Checks that `check` finds a problem whose text has all `parts`, and returns the exit code.
fn has_problem(done: &Done, check: &str, parts: &[&str]) -> i32 {
    let (result, detail) = found(done, check);
    assert_eq!(result, "found", "{done:?}");
    for part in parts {
        assert!(detail.contains(part), "no {part:?} in {detail:?}");
    }
    done.code
}

#[test]
fn a_healthy_store_has_no_problem_and_keeps_nothing() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    for store in ["pubnub", "filescom", "fileio"] {
        let done = examine(&home, "stores.toml", store);
        assert_eq!(done.code, 0, "{done:?}");
        for check in ["configuration", "access", "clock", "write"] {
            assert_eq!(found(&done, check).0, "ok", "{store}: {done:?}");
        }
        let listed = home.run(&["--config", "stores.toml", "--store", store, "list", "--all", "--json"]);
        assert_eq!((listed.code, listed.out.as_str()), (0, ""), "{store}: {listed:?}");
    }
    let operations = served.operations();
    assert_eq!((served.messages(), served.reads()), (0, 0), "{operations:?}");
    assert_eq!(operations.iter().filter(|operation| *operation == "delete").count(), 3, "{operations:?}");

    std::fs::create_dir(home.path().join("files")).unwrap();
    home.file("fs.toml", "[stores.local]\nbackend = \"fs\"\nroot = \"files\"\n");
    let done = examine(&home, "fs.toml", "local");
    assert_eq!((done.code, found(&done, "write").0.as_str()), (0, "ok"), "{done:?}");
    assert!(home.files_below("files").is_empty());
}

#[test]
fn the_table_has_all_stores_of_the_configuration() {
    let home = Home::new();
    home.file("filestore.toml", "[stores.a]\nbackend = \"memory\"\n[stores.b]\nbackend = \"fs\"\nroot = \"gone\"\n");
    let done = home.run(&["doctor"]);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(done.out.starts_with("STORE  CHECK          RESULT     DETAIL\na      configuration  ok "), "{}", done.out);
    assert!(done.out.contains("\nb      access         FOUND      there is no folder "), "{}", done.out);
    assert_eq!(home.run(&["doctor", "a"]).code, 0);
    assert_eq!(home.run(&["--store", "a", "doctor"]).code, 0);
    assert_eq!(home.run(&["doctor", "nosuch"]).code, 2);
}

#[test]
fn a_clock_that_is_10_minutes_off_is_found() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    for (moved, direction) in [("10m", "behind"), ("-20m", "ahead of")] {
        served.control("POST", "clock", &format!(r#"{{"advance":"{moved}"}}"#));
        for store in ["pubnub", "filescom", "fileio"] {
            let done = examine(&home, "stores.toml", store);
            assert_eq!(has_problem(&done, "clock", &["of this machine is ", direction, "set the clock"]), 2);
        }
    }
}

#[test]
fn a_wrong_key_is_found_with_the_setting_that_has_it() {
    let home = Home::new();
    let _served = Served::start(&home, &[]);
    let config = std::fs::read_to_string(home.path().join("stores.toml")).unwrap();
    let config = config.replace("sub-c-emulator", "sub-c-wrong").replace("filescomemulatorkey", "wrong");
    home.file("wrong.toml", config.replace("FILEIO0.EMULATO", "FILEIO0.WRONGKE"));
    for (store, setting) in [("pubnub", "subscribe_key"), ("filescom", "api_key"), ("fileio", "api_key")] {
        let done = examine(&home, "wrong.toml", store);
        assert_eq!(has_problem(&done, "access", &[setting]), 4, "{store}");
        assert!(!done.out.contains("WRONGKE"), "{done:?}");
    }
}

#[test]
fn an_unreachable_proxy_is_found_with_its_address_and_setting() {
    let home = Home::new();
    // A port at which nothing listens any more.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    home.file(
        "filestore.toml",
        format!("[stores.a]\nbackend = \"filescom\"\napi_key = \"k\"\nproxy = \"http://{closed}\"\nmax_retries = 0\n"),
    );
    let done = examine(&home, "filestore.toml", "a");
    let parts = [&format!("the proxy http://{closed}")[..], "the setting proxy", "check that it runs"];
    assert_eq!(has_problem(&done, "access", &parts), 6);
    let checks = done.out.lines().count();
    assert_eq!(checks, 3, "a store that is not reached is not examined further: {}", done.out);
}

#[test]
fn a_missing_root_is_found_and_not_created() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file(
        "filestore.toml",
        format!(
            "[stores.local]\nbackend = \"fs\"\nroot = \"no/such/folder\"\n\
             [stores.team]\nbackend = \"filescom\"\nbase_url = \"http://{}\"\napi_key = \"filescomemulatorkey\"\n\
             root = \"no/such/folder\"\n",
            served.address
        ),
    );
    for store in ["local", "team"] {
        let done = examine(&home, "filestore.toml", store);
        assert_eq!(has_problem(&done, "access", &["no/such/folder", "create it", "root"]), 3, "{store}");
    }
    assert!(!home.path().join("no").exists());
    // Only the built-in configuration has a root that the first upload may create.
    std::fs::remove_file(home.path().join("filestore.toml")).unwrap();
    let done = home.run(&["doctor"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("the first upload creates"), "{done:?}");
    assert!(!home.path().join("data").exists());
}

#[test]
fn http_to_another_machine_with_credentials_is_found() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    // The emulator accepts requests in the form that a proxy gets. The host does not exist.
    home.file(
        "filestore.toml",
        format!(
            "[stores.a]\nbackend = \"filescom\"\nbase_url = \"http://files.invalid\"\n\
             api_key = \"filescomemulatorkey\"\nproxy = \"http://{}\"\n",
            served.address
        ),
    );
    let done = examine(&home, "filestore.toml", "a");
    assert_eq!(has_problem(&done, "encryption", &["base_url", "read the credentials", "use https://"]), 2);
    assert_eq!(found(&done, "access").0, "ok", "{done:?}");
}

#[test]
fn an_account_at_its_limit_is_found_and_gets_no_file() {
    let home = Home::new();
    home.file(
        "users.toml",
        "[[fileio.accounts]]\nname = \"full\"\napi_key = \"full-account\"\nplan = \"paid\"\nmax_storage_bytes = 4\n",
    );
    let served = Served::start(&home, &["--credentials", "users.toml"]);
    home.file("four", "four");
    assert_eq!(served.run(&["upload", "four"]).code, 0);
    let done = examine(&home, "stores.toml", "fileio");
    assert_eq!(has_problem(&done, "limits", &["stores 4 bytes", "allows 4 bytes", "larger plan"]), 5);
    assert_eq!(found(&done, "write").0, "unchecked", "{done:?}");
    assert_eq!(served.operations().iter().filter(|operation| *operation == "upload").count(), 1);
}

#[test]
fn a_store_that_cannot_be_written_to_is_found() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    let rejected = "[[fault]]\nservice = \"filescom\"\noperation = \"upload\"\ndo = { status = { code = 403 } }\n";
    served.control("PUT", "faults", rejected);
    let done = examine(&home, "stores.toml", "filescom");
    assert_eq!(has_problem(&done, "write", &["may not do this", "credentials this permission"]), 4);
    assert_eq!(found(&done, "access").0, "ok", "{done:?}");
    // The folder of a local store, whose owner root may not write to it either.
    home.file("file", "");
    home.file("fs.toml", "[stores.a]\nbackend = \"fs\"\nroot = \"files\"\n");
    std::fs::create_dir(home.path().join("files")).unwrap();
    std::fs::write(home.path().join("files/.filestore-tmp"), "").unwrap();
    let done = examine(&home, "fs.toml", "a");
    assert_eq!(has_problem(&done, "write", &["files/.filestore-tmp is not a folder", "remove it"]), 4);
}

#[test]
fn where_a_file_would_stay_writing_is_not_checked() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    home.file(
        "filestore.toml",
        format!("[stores.a]\nbackend = \"fileio\"\nbase_url = \"http://{}\"\n", served.address),
    );
    let done = examine(&home, "filestore.toml", "a");
    assert_eq!(done.code, 0, "{done:?}");
    let (result, detail) = found(&done, "write");
    assert!(result == "unchecked" && detail.starts_with("a test file would stay: "), "{detail}");
    assert!(!served.operations().contains(&"upload".to_owned()));
}

#[test]
fn a_test_file_that_cannot_be_deleted_is_named() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    served.control("PUT", "faults", "[[fault]]\noperation = \"delete\"\ndo = { status = { code = 403 } }\n");
    for store in ["pubnub", "filescom", "fileio"] {
        let done = examine(&home, "stores.toml", store);
        let code = has_problem(&done, "write", &["cannot delete", &format!("`filestore delete {store}:{store}:")]);
        assert_eq!(code, 8, "{store}");
    }
}

#[test]
fn a_feature_that_the_account_lacks_is_found() {
    let home = Home::new();
    let served = Served::start(&home, &[]);
    served.control("PATCH", "pubnub/keysets/sub-c-emulator", r#"{"files": false}"#);
    let done = examine(&home, "stores.toml", "pubnub");
    assert_eq!(has_problem(&done, "access", &["File Sharing is disabled", "admin portal"]), 5);
}

/// The upload is confirmed, and the delete waits at the service.
#[cfg(unix)]
#[test]
fn a_signal_between_upload_and_delete_leaves_no_file() {
    use crate::program::{done, kill};

    let home = Home::new();
    let served = Served::start(&home, &[]);
    let slow = "[[fault]]\noperation = \"delete\"\ndo = { latency = { delay = \"700ms\" } }\n";
    served.control("PUT", "faults", slow);
    for store in ["pubnub", "filescom", "fileio"] {
        served.control("DELETE", "journal", "");
        let child = home.start(&["--config", "stores.toml", "doctor", store]);
        while !served.operations().contains(&"delete".to_owned()) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        kill(&child, "TERM");
        let done = done(child.wait_with_output().unwrap());
        assert_eq!((done.code, done.out.as_str()), (143, ""), "{store}: {done:?}");
        let listed = home.run(&["--config", "stores.toml", "--store", store, "list", "--all", "--json"]);
        assert_eq!((listed.code, listed.out.as_str()), (0, ""), "{store}: {listed:?}");
    }
}

mod network {
    //! Servers of the tests: one with an expired certificate, and one that responds as S3 does.

    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Arc;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::rustls::{ServerConfig, ServerConnection};

    use super::{examine, has_problem};
    use crate::program::Home;

    #[test]
    fn an_expired_certificate_is_found() {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let config = Arc::new(config);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                // The client ends the handshake.
                while connection.complete_io(&mut stream).is_ok() && connection.is_handshaking() {}
            }
        });

        let home = Home::new();
        let base64 = STANDARD.encode(certificate.der());
        home.file("ca.pem", format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n"));
        home.file(
            "filestore.toml",
            format!(
                "[stores.a]\nbackend = \"filescom\"\napi_key = \"k\"\nca_file = \"ca.pem\"\n\
                 base_url = \"https://{address}\"\n"
            ),
        );
        let done = examine(&home, "filestore.toml", "a");
        let parts = [&format!("certificate of https://{address}")[..], "expired", "renew the certificate", "clock"];
        assert_eq!(has_problem(&done, "access", &parts), 2);
    }

    #[test]
    fn a_missing_bucket_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 4096]);
                let body =
                    "<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code><BucketName>lost</BucketName></Error>";
                let _ = write!(
                    stream,
                    "HTTP/1.1 404 Not Found\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\
                     Connection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        let home = Home::new();
        home.file(
            "filestore.toml",
            format!(
                "[stores.a]\nbackend = \"opendal\"\nservice = \"s3\"\n[stores.a.options]\nbucket = \"lost\"\n\
                 region = \"eu\"\nendpoint = \"http://{address}\"\naccess_key_id = \"k\"\nsecret_access_key = \"s\"\n"
            ),
        );
        let done = examine(&home, "filestore.toml", "a");
        assert_eq!(has_problem(&done, "access", &["no bucket \"lost\"", "create it", "option \"bucket\""]), 3);
    }
}
