//! [`AzureSigner`]: signs URLs of Azure Blob Storage with the key of the account.
//!
//! OpenDAL signs URLs for one hour only, and takes the first folder of an endpoint with a path, such as that of Azurite,
//! for the container.

use std::fmt;

use filestore_core::{Error, Result};
use filestore_http::Url;
use jiff::Timestamp;
use opendal::services::AzblobConfig;
use reqsign_azure_storage::{ServiceSasResource, ServiceSharedAccessSignature};

/// The account, its key, and the container of a store.
pub(crate) struct AzureSigner {
    account: String,
    key: String,
    container: String,
    endpoint: Url,
    /// The path of the store in the container.
    root: String,
}

impl AzureSigner {
    /// Takes the key of a store in the folder `root`. `None` if the configuration has none.
    pub(crate) fn from_config(config: &AzblobConfig, root: &str) -> Option<Self> {
        Some(Self {
            account: config.account_name.clone()?,
            key: config.account_key.clone()?,
            container: config.container.clone(),
            endpoint: config.endpoint.as_ref()?.parse().ok()?,
            root: root.trim_start_matches('/').to_owned(),
        })
    }

    /// Returns a URL at which the file `path` can be read until `expires`, without its fraction of a second.
    pub(crate) fn sign(&self, path: &str, expires: Timestamp) -> Result<Url> {
        let invalid = |_| Error::config("the account key is not valid Base64; check account_key");
        let too_late = |_| Error::unsupported("the URL would expire too late; choose a shorter lifetime");
        let blob = format!("{}{path}", self.root);
        let mut url = self.endpoint.clone();
        let segments = url.path_segments_mut();
        let mut segments =
            segments.map_err(|()| Error::config("the endpoint is not the URL of a service; check it"))?;
        segments.pop_if_empty().push(&self.container).extend(blob.split('/'));
        drop(segments);
        let resource = ServiceSasResource::Blob { container: self.container.clone(), blob };
        let expires = reqsign_core::time::Timestamp::from_second(expires.as_second()).map_err(too_late)?;
        let signature = ServiceSharedAccessSignature::new(
            self.account.clone(),
            self.key.clone(),
            resource,
            "r".to_owned(),
            expires,
        );
        url.query_pairs_mut().extend_pairs(signature.token().map_err(invalid)?);
        Ok(url)
    }
}

impl fmt::Debug for AzureSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureSigner").field("account", &self.account).finish_non_exhaustive()
    }
}
