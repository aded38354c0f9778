//! TLS: with a provider of the cargo features, and without one.

use filestore_core::Effect;

use super::*;

#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
mod provided {
    use std::io::Write;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    use super::*;

    /// Starts a server with a certificate of its own for one request. Returns its URL and the certificate in PEM format.
    async fn server() -> (Url, String) {
        let generated = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(generated.signing_key.serialize_der().into());
        let base64 = STANDARD.encode(generated.cert.der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        // Independent of the provider of the client.
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![generated.cert.into()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await else { return };
            let _ = stream.read(&mut [0; 1000]).await;
            let response = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsecret";
            let _ = stream.write_all(response.as_bytes()).await;
            let _ = stream.shutdown().await;
        });
        (url, pem)
    }

    #[tokio::test]
    async fn a_certificate_of_ca_file_is_trusted_and_no_other() {
        let (url, pem) = server().await;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(pem.as_bytes()).unwrap();
        let trusting = HttpConfig { ca_file: Some(file.path().into()), ..HttpConfig::default() };
        let (client, _) = client_with(&trusting, &url);
        assert_eq!(text(client.send(Request::get(url)).await.unwrap()).await, "secret");

        let (other, _) = server().await;
        let error = client.send(Request::get(other)).await.unwrap_err();
        assert_eq!((error.kind(), error.effect(), error.attempts()), (ErrorKind::Config, Effect::NotSent, 1));
        assert!(error.message().contains("certificate"), "{error}");
    }

    #[test]
    fn an_invalid_ca_file_is_named_in_the_error() {
        for content in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(content.as_bytes()).unwrap();
            let config = HttpConfig { ca_file: Some(file.path().into()), ..HttpConfig::default() };
            let error = HttpClient::new(&config, &"https://127.0.0.1:9".parse().unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{content}");
            assert!(error.message().starts_with("ca_file: cannot use"), "{error}");
        }
    }
}

/// `cargo test -p filestore-http --no-default-features --lib` runs it.
#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
#[tokio::test]
async fn without_a_provider_https_is_a_config_error_and_http_works() {
    use crate::testing::{Reply, ScriptedServer};

    let https: Url = "https://files.example".parse().unwrap();
    let error = HttpClient::new(&HttpConfig::default(), &https).unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Config, Effect::NotSent));
    let trusting = HttpConfig { ca_file: Some("ca.pem".into()), ..HttpConfig::default() };
    let error = HttpClient::new(&trusting, &"http://127.0.0.1:9".parse().unwrap()).unwrap_err();
    assert!(error.message().contains("ca_file has no effect"), "{error}");

    let server = ScriptedServer::start([Reply::with_status(200, &[], "plain")]).await;
    let (client, _) = client(&server.url());
    // Such as the storage of a service.
    let error = client.send(Request::get(https)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect(), error.attempts()), (ErrorKind::Config, Effect::NotSent, 1), "{error}");
    assert_eq!(text(client.send(Request::get(server.url())).await.unwrap()).await, "plain");

    let proxied = HttpConfig { proxy: Some("https://127.0.0.1:9".into()), ..HttpConfig::default() };
    let (client, _) = client_with(&proxied, &server.url());
    let error = client.send(Request::get(server.url())).await.unwrap_err();
    assert_eq!((error.kind(), error.effect(), error.attempts()), (ErrorKind::Config, Effect::NotSent, 1), "{error}");
}
