//! The backends `fs`, `memory` and `opendal`: their keys, and stores made of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use filestore_core::{Backend, Error, FileStore, Key, KeyKind, Options, Result, Setting, Settings, Value, suggestion};
use opendal::{Configurator, Operator};
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};

#[cfg(feature = "remote")]
use crate::remote;
use crate::{FsStore, OpendalStore};

/// The backend `fs`: a local directory, as [`FsStore`].
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct is its name")]
pub struct Fs;

/// The backend `memory`: files that live as long as the store.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct is its name")]
pub struct Memory;

/// The backend `opendal`: a service of OpenDAL, as [`OpendalStore`].
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct is its name")]
pub struct Opendal;

const FS_KEYS: &[Key] =
    &[Key::new("root", KeyKind::Path, "the directory; made by the first upload if it does not exist").required()];

const OPENDAL_KEYS: &[Key] = &[
    Key::new("service", KeyKind::Text, "the service by OpenDAL's name, such as s3").required(),
    Key::new("options", KeyKind::Table, "OpenDAL's options of the service, such as bucket and region"),
    Key::new("root", KeyKind::Text, "the folder of the service that the store is about").default("all of it"),
];

impl Backend for Fs {
    fn name(&self) -> &'static str {
        "fs"
    }

    fn about(&self) -> &'static str {
        "a local directory"
    }

    fn keys(&self) -> &'static [Key] {
        FS_KEYS
    }

    fn option_keys(&self) -> &'static [Key] {
        &[]
    }

    fn open(&self, settings: &Settings) -> Result<Arc<dyn FileStore>> {
        #[derive(serde::Deserialize)]
        struct Config {
            root: PathBuf,
        }
        let config: Config = settings.read(FS_KEYS)?;
        Ok(Arc::new(FsStore::new(config.root)?))
    }

    fn options(&self, settings: &Settings) -> Result<Options> {
        no_options(settings)
    }
}

impl Backend for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn about(&self) -> &'static str {
        "the memory of this process; for tests and trials"
    }

    fn keys(&self) -> &'static [Key] {
        &[]
    }

    fn option_keys(&self) -> &'static [Key] {
        &[]
    }

    fn open(&self, settings: &Settings) -> Result<Arc<dyn FileStore>> {
        #[derive(serde::Deserialize)]
        struct Config {}
        let Config {} = settings.read(self.keys())?;
        open_service("memory", &Settings::new())
    }

    fn options(&self, settings: &Settings) -> Result<Options> {
        no_options(settings)
    }
}

impl Backend for Opendal {
    fn name(&self) -> &'static str {
        "opendal"
    }

    fn about(&self) -> &'static str {
        "a service of OpenDAL: S3, GCS, Azure Blob, WebDAV, SFTP, as compiled in"
    }

    fn keys(&self) -> &'static [Key] {
        OPENDAL_KEYS
    }

    fn option_keys(&self) -> &'static [Key] {
        &[]
    }

    fn open(&self, settings: &Settings) -> Result<Arc<dyn FileStore>> {
        #[derive(serde::Deserialize)]
        struct Config {
            service: String,
        }
        let config: Config = settings.read(OPENDAL_KEYS)?;
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
        open_service(&config.service, &options)
    }

    fn options(&self, settings: &Settings) -> Result<Options> {
        no_options(settings)
    }
}

/// Opens `service`, whose own options are `options`.
fn open_service(service: &str, options: &Settings) -> Result<Arc<dyn FileStore>> {
    let operator = match service {
        "fs" => return Fs.open(options),
        "memory" => operator::<opendal::services::MemoryConfig>(options)?,
        #[cfg(feature = "s3")]
        "s3" => remote::guarded(remote::over_http(operator::<opendal::services::S3Config>(options)?)?),
        #[cfg(feature = "gcs")]
        "gcs" => remote::guarded(remote::over_http(operator::<opendal::services::GcsConfig>(options)?)?),
        #[cfg(feature = "azblob")]
        "azblob" => remote::guarded(remote::over_http(operator::<opendal::services::AzblobConfig>(options)?)?),
        #[cfg(feature = "webdav")]
        "webdav" => remote::guarded(remote::over_http(operator::<opendal::services::WebdavConfig>(options)?)?),
        #[cfg(feature = "sftp")]
        "sftp" => remote::guarded(operator::<opendal::services::SftpConfig>(options)?),
        _ if SERVICES.contains(&service) => {
            return Err(Error::config(format!(
                "the service {service:?} is not compiled in; build with the cargo feature {service:?} of filestore-opendal"
            )));
        }
        _ => {
            let suggestion = suggestion(service, SERVICES.iter().copied());
            return Err(Error::config(format!("there is no service {service:?}; {suggestion}")));
        }
    };
    Ok(Arc::new(OpendalStore::new(operator)?))
}

/// Every service that can be compiled in.
const SERVICES: &[&str] = &["fs", "memory", "s3", "gcs", "azblob", "webdav", "sftp"];

/// An operator of the service with the configuration `C`.
///
/// `options` are read here, not by OpenDAL, which ignores a misspelt key and repeats the value of a
/// wrong one, secret or not, in its message.
fn operator<C: Configurator>(options: &Settings) -> Result<Operator> {
    let keys: Vec<Key> = field_names::<C>().iter().map(|name| Key::new(name, KeyKind::Text, "")).collect();
    let config: C = options.read(&keys)?;
    Operator::from_config(config)
        .map_err(|error| Error::config(format!("OpenDAL refuses the options: {}", error.message())))
}

fn entries(table: &Setting) -> Result<&BTreeMap<String, Setting>> {
    match &table.value {
        Value::Table(entries) => Ok(entries),
        _ => Err(Error::config(format!("{}: \"options\" is not a table", table.origin))),
    }
}

fn no_options(settings: &Settings) -> Result<Options> {
    #[derive(serde::Deserialize)]
    struct None {}
    let None {} = settings.read(&[])?;
    Ok(Options::default())
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
