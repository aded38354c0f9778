//! TLS: the provider of the cryptography, which the cargo features choose, and the certificates that are trusted.
//!
//! Each client has a configuration of its own, so that no other library of the program can change its provider.

use filestore_core::{Error, Result};
use url::Url;

#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
pub(crate) use provided::client_config;

/// Checks that the program can connect to `url`. *Config* for an `https` URL if no TLS provider is compiled in.
pub(crate) fn check(url: &Url) -> Result<()> {
    if url.scheme() != "https" || cfg!(any(feature = "aws-lc-rs", feature = "ring")) {
        return Ok(());
    }
    let host = url.host_str().unwrap_or_default();
    Err(Error::config(format!(
        "cannot connect to https://{host}, because the program is built without TLS; build it with the cargo feature \
         aws-lc-rs or ring of filestore, or of the crate of the backend"
    )))
}

#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
mod provided {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use filestore_core::{Error, Result};
    use rustls::ClientConfig;
    use rustls::crypto::CryptoProvider;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    use rustls_platform_verifier::Verifier;

    /// Returns the TLS configuration of a client. It trusts the certificates of the system, and those in `ca_file`.
    ///
    /// *Config* if `ca_file` cannot be used, or if the system has no certificates.
    pub(crate) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig> {
        let provider = Arc::new(provider());
        let unusable = |error: rustls::Error| Error::config(format!("cannot create the HTTP client: {error}"));
        let verifier = match ca_file {
            Some(path) => trusting(path, Arc::clone(&provider))?,
            None => Verifier::new(Arc::clone(&provider)).map_err(unusable)?,
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Returns the provider. With both features it is aws-lc-rs, because any crate of the program may enable one.
    pub(super) fn provider() -> CryptoProvider {
        #[cfg(feature = "aws-lc-rs")]
        return rustls::crypto::aws_lc_rs::default_provider();
        #[cfg(not(feature = "aws-lc-rs"))]
        rustls::crypto::ring::default_provider()
    }

    /// Returns a verifier that also trusts the certificates in `path`.
    fn trusting(path: &Path, provider: Arc<CryptoProvider>) -> Result<Verifier> {
        let problem =
            |why: &dyn std::fmt::Display| Error::config(format!("ca_file: cannot use {}: {why}", path.display()));
        let pem = fs::read(path).map_err(|error| problem(&error))?;
        let certificates: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| problem(&error))?;
        if certificates.is_empty() {
            return Err(problem(&"it contains no certificate in PEM format"));
        }
        #[cfg(not(target_os = "android"))]
        return Verifier::new_with_extra_roots(certificates, provider).map_err(|error| problem(&error));
        #[cfg(target_os = "android")]
        {
            let _ = provider;
            Err(problem(&"Android allows no certificates besides its own"))
        }
    }
}

#[cfg(test)]
mod tests {
    use filestore_core::ErrorKind;

    use super::*;

    #[test]
    fn without_tls_an_https_url_is_a_config_error_that_names_the_features() {
        let checked = |url: &str| check(&url.parse().unwrap());
        assert!(checked("http://files.example/a").is_ok());
        let https = checked("https://files.example/CANARY?CANARY");
        if cfg!(any(feature = "aws-lc-rs", feature = "ring")) {
            https.unwrap();
            return;
        }
        let error = https.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains("aws-lc-rs or ring"), "{error}");
        assert!(error.message().contains("https://files.example,") && !error.message().contains("CANARY"), "{error}");
    }

    #[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
    #[test]
    fn aws_lc_rs_has_precedence_over_ring() {
        let expected = if cfg!(feature = "aws-lc-rs") { "AwsLcRs" } else { "Ring" };
        assert_eq!(format!("{:?}", provided::provider().key_provider), expected);
    }
}
