//! The backend `opendal`: its keys, and stores made of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use filestore_core::{Backend, Error, FileStore, Key, KeyKind, Result, Setting, Settings, Value, suggestion};
use opendal::{Configurator, Operator};
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};

use crate::OpendalStore;
#[cfg(feature = "http")]
use crate::protocol::Service;
#[cfg(feature = "remote")]
use crate::remote;

/// The backend `opendal`: a service of OpenDAL, as [`OpendalStore`].
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct is its name")]
pub struct Opendal;

const OWN_KEYS: [Key; 3] = [
    Key::new("service", KeyKind::Text, "the service by OpenDAL's name, such as s3").required(),
    Key::new("options", KeyKind::Table, "OpenDAL's options of the service, such as bucket and region").entries(ENTRIES),
    Key::new("root", KeyKind::Text, "the folder of the service that the store is about").default("all of it"),
];

#[cfg(feature = "http")]
static OPENDAL_KEYS: [Key; 3 + filestore_http::KEYS.len()] = filestore_http::with_http_keys(OWN_KEYS);
#[cfg(not(feature = "http"))]
static OPENDAL_KEYS: [Key; 3] = OWN_KEYS;

const fn shown(name: &'static str) -> Key {
    Key::new(name, KeyKind::Text, "")
}

const fn path(name: &'static str) -> Key {
    Key::new(name, KeyKind::Path, "")
}

/// The options of all services that hold no secret. Every other one is treated as a secret, so that one which
/// is new in OpenDAL or misspelt is not shown.
const ENTRIES: &[Key] = &[
    shown("account_name"),
    shown("allow_anonymous"),
    shown("assume_role_duration_seconds"),
    shown("batch_max_operations"),
    shown("bucket"),
    shown("bucket_name"),
    shown("checksum_algorithm"),
    shown("container"),
    shown("container_name"),
    path("credential_path"),
    shown("default_acl"),
    shown("default_storage_class"),
    shown("delete_max_size"),
    shown("disable_config_load"),
    shown("disable_copy"),
    shown("disable_create_dir"),
    shown("disable_ec2_metadata"),
    shown("disable_list_objects_v2"),
    shown("disable_stat_with_override"),
    shown("disable_vm_metadata"),
    shown("disable_write_with_if_match"),
    shown("enable_conditional_read"),
    shown("enable_copy"),
    shown("enable_request_payer"),
    shown("enable_user_metadata"),
    shown("enable_versioning"),
    shown("enable_virtual_host_style"),
    shown("enable_write_with_append"),
    shown("encryption_algorithm"),
    shown("endpoint"),
    shown("endpoint_url"),
    path("google_application_credentials"),
    // Of SFTP: the file of the private key.
    path("key"),
    shown("known_hosts_strategy"),
    shown("predefined_acl"),
    shown("profile"),
    shown("region"),
    shown("role_arn"),
    shown("role_session_name"),
    shown("root"),
    shown("scope"),
    shown("server_side_encryption"),
    shown("server_side_encryption_aws_kms_key_id"),
    shown("server_side_encryption_customer_algorithm"),
    shown("service_account"),
    shown("skip_signature"),
    shown("user"),
    shown("user_metadata_prefix"),
    shown("user_metadata_uri"),
    shown("username"),
];

impl Backend for Opendal {
    fn name(&self) -> &'static str {
        "opendal"
    }

    fn about(&self) -> &'static str {
        "a service of OpenDAL: S3, GCS, Azure Blob, WebDAV, SFTP, as compiled in"
    }

    fn keys(&self) -> &'static [Key] {
        &OPENDAL_KEYS
    }

    fn open(&self, settings: &Settings) -> Result<Arc<dyn FileStore>> {
        #[derive(serde::Deserialize)]
        struct Config {
            service: String,
        }
        let config: Config = settings.read(&OPENDAL_KEYS)?;
        let mut options = Settings::new();
        if let Some(table) = settings.get("options") {
            for (key, option) in entries(table)? {
                options.insert(key, option.clone());
            }
        }
        if let Some(root) = settings.get("root") {
            if options.get("root").is_some() {
                return Err(Error::config(format!(
                    "{}: the root is given twice, here and in the options",
                    root.origin
                )));
            }
            options.insert("root", root.clone());
        }
        open_service(&config.service, &options, settings)
    }
}

/// Opens `service`, whose own options are `options`. The `settings` beside them are those of HTTP.
fn open_service(service: &str, options: &Settings, settings: &Settings) -> Result<Arc<dyn FileStore>> {
    // A service that does not speak HTTP has none of its settings.
    if let (true, Some((key, setting))) =
        (matches!(service, "memory" | "sftp"), settings.iter().find(|(key, _)| !is_own(key)))
    {
        let origin = &setting.origin;
        return Err(Error::config(format!(
            "{origin}: {key:?} is of HTTP, which the service {service:?} does not speak"
        )));
    }
    let operator = match service {
        "memory" => operator::<opendal::services::MemoryConfig>(options)?,
        #[cfg(feature = "s3")]
        "s3" => {
            check_key_pair(options)?;
            over_http::<opendal::services::S3Config>(Service::S3, options, settings)?
        }
        #[cfg(feature = "gcs")]
        "gcs" => over_http::<opendal::services::GcsConfig>(Service::Other, options, settings)?,
        #[cfg(feature = "azblob")]
        "azblob" => over_http::<opendal::services::AzblobConfig>(Service::Other, options, settings)?,
        #[cfg(feature = "webdav")]
        "webdav" => over_http::<opendal::services::WebdavConfig>(Service::Webdav, options, settings)?,
        #[cfg(feature = "sftp")]
        "sftp" => remote::with_limits(operator::<opendal::services::SftpConfig>(options)?),
        _ if SERVICES.contains(&service) => {
            return Err(Error::config(format!(
                "the service {service:?} is not compiled in; build with the cargo feature {service:?} of filestore-opendal"
            )));
        }
        "fs" => {
            return Err(Error::config(
                "OpenDAL's local files are neither synced nor safe from links; write backend = \"fs\" instead",
            ));
        }
        _ => {
            let suggestion = suggestion(service, SERVICES.iter().copied());
            return Err(Error::config(format!("there is no service {service:?}; {suggestion}")));
        }
    };
    Ok(Arc::new(OpendalStore::new(operator)?))
}

fn is_own(key: &str) -> bool {
    OWN_KEYS.iter().any(|own| own.name == key)
}

/// An operator of a service with the configuration `C`, which speaks HTTP as `settings` say.
#[cfg(feature = "http")]
fn over_http<C: Configurator>(service: Service, options: &Settings, settings: &Settings) -> Result<Operator> {
    let config: filestore_http::HttpConfig = settings.read(&OPENDAL_KEYS)?;
    #[derive(serde::Deserialize)]
    struct At {
        endpoint: Option<String>,
    }
    let At { endpoint } = options.read(&keys_of::<C>())?;
    remote::over_http(operator::<C>(options)?, service, endpoint.as_deref(), &config)
}

/// Half a pair of keys would be ignored, and others would be looked for.
#[cfg(feature = "s3")]
fn check_key_pair(options: &Settings) -> Result<()> {
    let (id, secret) = ("access_key_id", "secret_access_key");
    for (given, missing) in [(id, secret), (secret, id)] {
        if options.get(given).is_some() && options.get(missing).is_none() {
            return Err(Error::config(format!("the option {missing:?} is missing; {given:?} is of use only with it")));
        }
    }
    Ok(())
}

/// Every service that can be compiled in.
const SERVICES: &[&str] = &["memory", "s3", "gcs", "azblob", "webdav", "sftp"];

/// An operator of the service with the configuration `C`.
///
/// `options` are read here, not by OpenDAL, which ignores a misspelt key and repeats the value of a
/// wrong one, secret or not, in its message.
fn operator<C: Configurator>(options: &Settings) -> Result<Operator> {
    let config: C = options.read(&keys_of::<C>())?;
    Operator::from_config(config)
        .map_err(|error| Error::config(format!("OpenDAL rejects the options: {}", error.message())))
}

/// The keys of the configuration `C`.
fn keys_of<C: DeserializeOwned>() -> Vec<Key> {
    field_names::<C>().iter().map(|name| Key::new(name, KeyKind::Text, "")).collect()
}

fn entries(table: &Setting) -> Result<&BTreeMap<String, Setting>> {
    match &table.value {
        Value::Table(entries) => Ok(entries),
        _ => Err(Error::config(format!("{}: \"options\" is not a table", table.origin))),
    }
}

/// The names of the fields of `T`, other spellings included, as its `Deserialize` asks for them.
fn field_names<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // Fails always: it ends with the question, not with a value.
    let _ = T::deserialize(FieldNames(&mut names));
    names
}

struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(de::Error::custom("only the names were wanted"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("not a struct"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
