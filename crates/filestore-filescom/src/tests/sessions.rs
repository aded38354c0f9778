use filestore_core::FileStore;
use secrecy::ExposeSecret;
use wiremock::matchers::{body_json, method, path};

use super::*;
use crate::{Credential, Login, Rejection, SecondFactor};

const SESSION: &str = "SESSIONcanary0123456789abcdef0123456789a";

fn challenge() -> ResponseTemplate {
    challenge_with(&["totp", "sms"])
}

fn challenge_with(methods: &[&str]) -> ResponseTemplate {
    let body = json!({"error": "Two factor", "http-code": 403, "instance": "1", "title": "T",
        "type": "not-authorized/two-factor-authentication-required",
        "data": {"partial_session_id": "PARTIALcanary", "two_factor_authentication_methods": methods,
            "u2f_sign_requests": [{"challenge": methods}]}});
    response(403, &body)
}

fn session() -> ResponseTemplate {
    response(201, &json!({"id": SESSION, "language": "en", "read_only": true, "sftp_insecure_ciphers": false}))
}

#[tokio::test]
async fn login_sends_no_credential_and_returns_a_session_that_authenticates_requests() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/api/rest/v1/sessions"))
        .and(body_json(json!({"username": "ann", "password": "PWcanary"})))
        .and(with_header("x-filesapi-key", None))
        .and(with_header("x-filesapi-auth", None))
        .respond_with(session())
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .and(with_header("x-filesapi-key", None))
        .and(with_header("x-filesapi-auth", Some(SESSION)))
        .respond_with(response(200, &file("a")))
        .expect(1)
        .mount(&server)
        .await;
    let store = store(&server);
    let session = store.login(&Login::new("ann", "PWcanary")).await.unwrap();
    assert!(session.read_only);
    assert_eq!(session.id.expose_secret(), SESSION);
    store.with_session(&session).unwrap().stat(reference("a").into()).await.unwrap();
}

#[tokio::test]
async fn a_challenge_for_a_second_factor_is_answered() {
    let server = server_with([challenge(), session()]).await;
    let (store, _) = open(FilesComConfig::new(server.uri()));
    let login = Login::new("ann", "pw");
    let error = store.login(&login).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unauthenticated, Effect::Rejected));
    let challenge = SecondFactor::of(&error).unwrap();
    assert_eq!(challenge.methods(), ["totp", "sms"]);
    store.login(&login.answer(&challenge, "123456")).await.unwrap();
    assert_eq!(
        received(&server).await[1],
        r#"POST sessions {"username":"ann","password":"pw","otp":"123456","partial_session_id":"PARTIALcanary"}"#
    );
}

#[tokio::test]
async fn the_error_of_a_failed_login_has_its_reason() {
    for (type_name, status, kind, text) in [
        ("not-authenticated/invalid-username-or-password", 401, ErrorKind::Unauthenticated, "password is wrong"),
        ("not-authenticated/one-time-password-incorrect", 401, ErrorKind::Unauthenticated, "one-time password"),
        ("not-authenticated/locked-out", 401, ErrorKind::Unauthenticated, "locked out"),
        ("not-authenticated/lockout-region-mismatch", 401, ErrorKind::Unauthenticated, "base_url"),
    ] {
        let server = server_with([rejection(status, type_name)]).await;
        let error = store(&server).login(&Login::new("ann", "pw")).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (kind, Effect::Rejected), "{type_name}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(SecondFactor::of(&error).is_none());
    }
}

#[tokio::test]
async fn a_login_whose_response_is_lost_is_not_retried() {
    let server = server_with([ResponseTemplate::new(502)]).await;
    let error = store(&server).login(&Login::new("ann", "pw")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Unknown));
}

#[tokio::test]
async fn the_error_of_an_ended_session_says_to_log_in_again() {
    let server = server_with([rejection(401, "not-authenticated/invalid-credentials")]).await;
    let store = store(&server).with_credential(Credential::Session(SESSION.into())).unwrap();
    let error = store.stat(reference("a").into()).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unauthenticated, Effect::Rejected));
    assert!(error.to_string().contains("the session has ended or never existed; log in again"), "{error}");
}

#[tokio::test]
async fn logout_ends_the_session_and_a_second_one_is_no_error() {
    let server = server_with([no_content(), rejection(401, "not-authenticated/invalid-session")]).await;
    let store = store(&server).with_credential(Credential::Session(SESSION.into())).unwrap();
    store.logout().await.unwrap();
    store.logout().await.unwrap();
    assert_eq!(received(&server).await, ["DELETE sessions"; 2]);
    let requests = server.received_requests().await.unwrap();
    assert!(requests.iter().all(|request| request.headers["x-filesapi-auth"] == SESSION));
}

#[tokio::test]
async fn a_logout_that_was_rejected_for_another_reason_has_not_ended_the_session() {
    for (status, type_name) in [
        (401, "not-authenticated/locked-out"),
        (401, "not-authenticated/lockout-region-mismatch"),
        (401, "not-authenticated/two-factor-authentication-error"),
        (403, "not-authorized/two-factor-authentication-required"),
    ] {
        let server = server_with([rejection(status, type_name)]).await;
        let store = store(&server).with_credential(Credential::Session(SESSION.into())).unwrap();
        let error = store.logout().await.unwrap_err();
        assert_eq!((error.provider_code(), error.effect()), (Some(type_name), Effect::Rejected), "{error}");
    }
}

#[tokio::test]
async fn a_login_whose_response_has_a_blank_id_is_a_protocol_error() {
    for id in ["", " "] {
        let server = server_with([response(201, &json!({"id": id}))]).await;
        let error = store(&server).login(&Login::new("ann", "pw")).await.unwrap_err();
        assert_eq!(kind_and_effect(&error), (ErrorKind::Protocol, Effect::Unknown), "{error}");
    }
}

#[tokio::test]
async fn a_logout_without_a_session_is_invalid_input() {
    let server = server_with([]).await;
    let error = store(&server).logout().await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::InvalidInput, Effect::NotSent));
}

#[tokio::test]
async fn a_store_with_another_key_and_workspace_leaves_the_first_unchanged() {
    let server = server_with([response(200, &file("a")), response(200, &file("a"))]).await;
    let store = store(&server);
    let other_store = store.with_api_key("other").unwrap().with_workspace(Some(7));
    other_store.stat(reference("a").into()).await.unwrap();
    store.stat(reference("a").into()).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests[0].headers["x-filesapi-key"], "other");
    assert_eq!(requests[0].headers["x-files-workspace-id"], "7");
    assert_eq!(requests[1].headers["x-filesapi-key"], API_KEY);
    assert!(!requests[1].headers.contains_key("x-files-workspace-id"));
}

#[tokio::test]
async fn neither_passwords_nor_sessions_are_shown() {
    let echo = json!({"error": "no user with password PWcanary", "type": "not-authenticated/invalid-credentials"});
    let server = server_with([response(401, &echo), challenge(), session()]).await;
    let store = store(&server);
    let login = Login::new("ann", "PWcanary").one_time_password("OTPcanary");
    let rejected = store.login(&login).await.unwrap_err();
    let challenged = store.login(&login).await.unwrap_err();
    let second_factor = SecondFactor::of(&challenged).unwrap();
    let session = store.login(&login).await.unwrap();
    let session_store = store.with_session(&session).unwrap();
    let shown = format!(
        "{login:?} {rejected:?} {rejected} {challenged:?} {challenged} {second_factor:?} {session:?} {session_store:?}"
    );
    assert!(!shown.contains("canary"), "{shown}");
}

#[tokio::test]
async fn a_password_that_is_a_word_of_the_protocol_is_redacted_only_in_messages() {
    for password in ["data", "type", "e", "partial_session_id", "factor"] {
        let server = server_with([challenge(), session()]).await;
        let store = store(&server);
        let login = Login::new("ann", password);
        let error = store.login(&login).await.unwrap_err();
        let challenge = SecondFactor::of(&error).unwrap();
        assert_eq!(challenge.methods(), ["totp", "sms"], "{password}");
        store.login(&login.answer(&challenge, "123456")).await.unwrap();
    }
}

#[tokio::test]
async fn the_methods_of_a_second_factor_are_short_identifiers_without_secrets() {
    let (long, longest) = ("x".repeat(41), "x".repeat(40));
    let repeated = ["PWcanary", "your-pwCANARY", "PARTIALcanary", "id_partialCANARY"];
    let others = ["", "a b", "a\u{1b}[2J", "ü", "a.b", &long, &longest, "U2F-1_x"];
    let server = server_with([challenge_with(&[&repeated[..], &others].concat()), challenge_with(&["m"; 11])]).await;
    let store = store(&server);
    let login = Login::new("ann", "PWcanary");
    let error = store.login(&login).await.unwrap_err();
    assert_eq!(SecondFactor::of(&error).unwrap().methods(), [&longest, "U2F-1_x"]);
    let data = Rejection::of(&error).unwrap().data();
    assert_eq!(data["u2f_sign_requests"][0]["challenge"][1], "your-...");
    let error = store.login(&login).await.unwrap_err();
    assert_eq!(SecondFactor::of(&error).unwrap().methods(), ["m"; 10]);
}

#[tokio::test]
async fn no_secret_of_a_login_that_the_service_repeats_is_shown() {
    for secret in ["pwcanary", "OTPCANARY", "partialcanary"] {
        let echo = json!({"error": format!("no {secret}"), "type": format!("not-authenticated/{secret}"),
            "instance": secret});
        let server = server_with([challenge(), response(401, &echo)]).await;
        let store = store(&server);
        let login = Login::new("ann", "PWcanary");
        let challenge = SecondFactor::of(&store.login(&login).await.unwrap_err()).unwrap();
        let error = store.login(&login.answer(&challenge, "OTPcanary")).await.unwrap_err();
        assert!(error.message().ends_with(": no ..."), "{error}");
        assert_eq!((error.provider_code(), error.request_id()), (Some("not-authenticated/..."), Some("...")));
        assert!(!format!("{error} {error:?}").to_lowercase().contains("canary"), "{error:?}");
    }
}
