//! Uploads (`POST`), and the two changes of a file: replacing it (`PUT`) and updating it (`PATCH`).

use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use super::access::Caller;
use super::error::Rejection;
use super::expiry::{Expiry, in_words};
use super::file::{Draft, Owner, StoredFile};
use super::form::{Content, Form, UploadSink};
use super::limits::{Limits, Terms};
use super::wire::{FirstUploaded, Success};
use super::{Allowance, Call, FileIo, Generation, plan_id};
use crate::faults::{ContentTamper, Fault};
use crate::http::{Response, json};

/// The header with the token of an anonymous upload.
const ANONYMOUS_TOKEN: &str = "x-file-io-anonymous-access-token";

impl FileIo {
    /// `POST /`: stores a file.
    pub(super) async fn upload(&self, call: Call<'_>) -> Result<Response, Rejection> {
        let caller = self.caller(&call)?;
        let owner = self.owner(&caller, &call)?;
        let allowance = self.allowance(&caller, call.effects);
        let limits = call.limits(allowance);

        let mut form = self.read_form(call, allowance, true).await?;
        let fields = form.term_fields();
        let terms = Terms::default_at(limits.now).with(&fields, limits)?;
        let content = form.content.take().ok_or_else(no_file)?;

        let draft = Draft {
            owner,
            name: content.name,
            title: form.text("title").flatten(),
            description: form.text("description").flatten(),
            mime_type: content.mime_type,
            terms,
            plan_id: plan_id(allowance.plan),
            created: limits.now,
            body: content.body,
        };
        let key_length = match limits.generation {
            Generation::First => 6,
            Generation::Second => 12,
        };
        let file = self.files.insert(draft, key_length, allowance.storage).await?;

        let token = match &file.owner {
            Owner::Anonymous { token, .. } => HeaderValue::from_str(token).ok(),
            Owner::Account(_) => None,
        };
        let mut response = match limits.generation {
            Generation::First => {
                let text = fields.expires.as_deref();
                let requested = text.and_then(|text| Expiry::parse(text, limits.generation));
                self.first_uploaded(&file, requested.unwrap_or(Expiry::DEFAULT))
            }
            Generation::Second => self.uploaded(file),
        };
        if let Some(token) = token {
            response.headers_mut().insert(ANONYMOUS_TOKEN, token);
        }
        Ok(response)
    }

    /// `PUT`: replaces the file under a key. Fields that are not set get the defaults of an upload.
    pub(super) async fn replace(&self, key_or_id: &str, call: Call<'_>) -> Result<Response, Rejection> {
        let caller = self.caller_with_credential(&call)?;
        let allowance = self.allowance(&caller, call.effects);
        let limits = call.limits(allowance);
        self.check_may_change(key_or_id, &caller, limits).await?;

        let mut form = self.read_form(call, allowance, false).await?;
        let terms = Terms::default_at(limits.now).with(&form.term_fields(), limits)?;
        let content = form.content.take().ok_or_else(no_file)?;
        let replace = move |file: &mut StoredFile| {
            caller.may_change(file, limits.now)?;
            file.title = form.text("title").flatten();
            file.description = form.text("description").flatten();
            file.terms = terms;
            file.modified = limits.now;
            file.replace_content(content);
            Ok(())
        };
        let changed = self.files.change(key_or_id, limits.now, allowance.storage, replace);
        Ok(self.uploaded(changed.await?))
    }

    /// `PATCH`: changes the fields that are set, and keeps the others.
    pub(super) async fn update(&self, key_or_id: &str, call: Call<'_>) -> Result<Response, Rejection> {
        let caller = self.caller_with_credential(&call)?;
        let allowance = self.allowance(&caller, call.effects);
        let limits = call.limits(allowance);
        self.check_may_change(key_or_id, &caller, limits).await?;

        let mut form = self.read_form(call, allowance, false).await?;
        let update = move |file: &mut StoredFile| {
            caller.may_change(file, limits.now)?;
            file.terms = file.terms.clone().with(&form.term_fields(), limits)?;
            if let Some(title) = form.text("title") {
                file.title = title;
            }
            if let Some(description) = form.text("description") {
                file.description = description;
            }
            file.modified = limits.now;
            if let Some(content) = form.content.take() {
                file.replace_content(content);
            }
            Ok(())
        };
        let changed = self.files.change(key_or_id, limits.now, allowance.storage, update);
        Ok(self.uploaded(changed.await?))
    }

    /// Returns the owner of a new file, if the caller may upload.
    fn owner(&self, caller: &Caller, call: &Call<'_>) -> Result<Owner, Rejection> {
        match caller {
            Caller::Account(account) => Ok(Owner::Account(account.name.clone())),
            Caller::Anonymous if self.users.anonymous.uploads => Ok(Owner::anonymous(call.now)),
            Caller::Anonymous | Caller::Token(_) => Err(Rejection::Unauthorized),
        }
    }

    /// Checks that the caller may change the file before a large body is read. The change itself checks again.
    async fn check_may_change(&self, key_or_id: &str, caller: &Caller, limits: Limits) -> Result<(), Rejection> {
        let file =
            self.files.get(key_or_id, limits.now).await.map_err(|rejection| caller.conceal_not_found(rejection))?;
        caller.may_change(&file, limits.now)
    }

    async fn read_form(&self, call: Call<'_>, allowance: Allowance, accepts_raw: bool) -> Result<Form, Rejection> {
        let sink = UploadSink {
            blobs: Arc::clone(self.files.blobs()),
            max_bytes: allowance.upload,
            tamper: ContentTamper::new(call.effects, call.body.length()),
            accepts_raw,
        };
        Form::read(&call.head.headers, call.head.uri.query(), call.body, sink).await
    }

    fn uploaded(&self, file: StoredFile) -> Response {
        json(StatusCode::OK, &Success::new(self.details(file, "pending")))
    }

    /// Returns the response to an upload in the first generation of the API.
    fn first_uploaded(&self, file: &StoredFile, requested: Expiry) -> Response {
        let uploaded = FirstUploaded {
            success: true,
            key: &file.key,
            link: &self.link(&file.key),
            expiry: in_words(file.terms.expires, requested, file.created),
        };
        json(StatusCode::OK, &uploaded)
    }
}

impl StoredFile {
    /// Replaces the content, and sets the number of downloads to 0.
    fn replace_content(&mut self, content: Content) {
        self.name = content.name.resolve(&self.key);
        self.mime_type = content.mime_type;
        self.size = content.body.size();
        self.body = content.body.keep();
        self.downloads = 0;
    }
}

impl Call<'_> {
    fn limits(&self, allowance: Allowance) -> Limits {
        Limits {
            plan: allowance.plan,
            generation: self.effects.generation(),
            clamp: self.effects.any(|fault| matches!(fault, Fault::Clamp)),
            now: self.now,
        }
    }
}

fn no_file() -> Rejection {
    Rejection::bad("the request contains no file")
}
