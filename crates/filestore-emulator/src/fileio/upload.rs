//! Uploads, and the two updates: replacing a file and changing what is known about it.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use super::access::Caller;
use super::error::Rejection;
use super::expiry::{Expiry, in_words};
use super::file::{Draft, Owner, StoredFile};
use super::form::{Content, Form, UploadSink};
use super::limits::{Rules, Terms};
use super::wire::{Answer, FirstUploaded};
use super::{Allowance, Call, FileIo, Generation, plan_id};
use crate::faults::{ContentTamper, Fault};
use crate::http::{Response, json};

const ANONYMOUS_TOKEN: &str = "x-file-io-anonymous-access-token";

impl FileIo {
    pub(super) async fn upload(&self, call: Call<'_>) -> Result<Response, Rejection> {
        let caller = self.caller(&call)?;
        let owner = self.owner(&caller, &call)?;
        let allowance = self.allowance(&caller, call.effects);
        let rules = call.rules(allowance);

        let mut form = self.read_form(call, allowance, true).await?;
        let wishes = form.wishes();
        let terms = Terms::default_at(rules.now).with(&wishes, rules)?;
        let content = form.content.take().ok_or_else(no_file)?;

        let draft = Draft {
            owner,
            name: content.name,
            title: form.text("title").flatten(),
            description: form.text("description").flatten(),
            mime_type: content.mime_type,
            terms,
            plan_id: plan_id(allowance.plan),
            created: rules.now,
            body: content.body,
        };
        let key_length = match rules.generation {
            Generation::First => 6,
            Generation::Second => 12,
        };
        let file = self.files.insert(draft, key_length, allowance.storage).await?;

        let token = match &file.owner {
            Owner::Anonymous { token, .. } => HeaderValue::from_str(token).ok(),
            Owner::Account(_) => None,
        };
        let mut response = match rules.generation {
            Generation::First => {
                let asked = wishes.expires.as_deref();
                let asked = asked.and_then(|text| Expiry::parse(text, rules.generation));
                self.first_uploaded(&file, asked.unwrap_or(Expiry::DEFAULT))
            }
            Generation::Second => self.uploaded(file),
        };
        if let Some(token) = token {
            response.headers_mut().insert(ANONYMOUS_TOKEN, token);
        }
        Ok(response)
    }

    /// `PUT`: the file is another one under the same key. What is not given is as at an upload.
    pub(super) async fn replace(&self, address: &str, call: Call<'_>) -> Result<Response, Rejection> {
        let caller = self.manager(&call)?;
        let allowance = self.allowance(&caller, call.effects);
        let rules = call.rules(allowance);
        self.check_address(address, &caller, rules).await?;

        let mut form = self.read_form(call, allowance, false).await?;
        let terms = Terms::default_at(rules.now).with(&form.wishes(), rules)?;
        let content = form.content.take().ok_or_else(no_file)?;
        let replace = move |file: &mut StoredFile| {
            caller.may_change(file, rules.now)?;
            file.title = form.text("title").flatten();
            file.description = form.text("description").flatten();
            file.terms = terms;
            file.modified = rules.now;
            file.take(content);
            Ok(())
        };
        let changed = self.files.change(address, rules.now, allowance.storage, replace);
        Ok(self.uploaded(changed.await?))
    }

    /// `PATCH`: what is given changes, the rest stays.
    pub(super) async fn update(&self, address: &str, call: Call<'_>) -> Result<Response, Rejection> {
        let caller = self.manager(&call)?;
        let allowance = self.allowance(&caller, call.effects);
        let rules = call.rules(allowance);
        self.check_address(address, &caller, rules).await?;

        let mut form = self.read_form(call, allowance, false).await?;
        let update = move |file: &mut StoredFile| {
            caller.may_change(file, rules.now)?;
            file.terms = file.terms.clone().with(&form.wishes(), rules)?;
            if let Some(title) = form.text("title") {
                file.title = title;
            }
            if let Some(description) = form.text("description") {
                file.description = description;
            }
            file.modified = rules.now;
            if let Some(content) = form.content.take() {
                file.take(content);
            }
            Ok(())
        };
        let changed = self.files.change(address, rules.now, allowance.storage, update);
        Ok(self.uploaded(changed.await?))
    }

    fn owner(&self, caller: &Caller, call: &Call<'_>) -> Result<Owner, Rejection> {
        match caller {
            Caller::Account(account) => Ok(Owner::Account(account.name.clone())),
            Caller::Nobody if self.users.anonymous.uploads => Ok(Owner::anonymous(call.now)),
            Caller::Nobody | Caller::Token(_) => Err(Rejection::Unauthorized),
        }
    }

    /// Rejects before a large body is read for nothing; the change itself checks again.
    async fn check_address(&self, address: &str, caller: &Caller, rules: Rules) -> Result<(), Rejection> {
        let file = self.files.look(address, rules.now).await.map_err(|rejection| caller.hears(rejection))?;
        caller.may_change(&file, rules.now)
    }

    async fn read_form(&self, call: Call<'_>, allowance: Allowance, raw: bool) -> Result<Form, Rejection> {
        let intake = UploadSink {
            blobs: Arc::clone(self.files.blobs()),
            largest: allowance.upload,
            tamper: ContentTamper::new(call.effects, call.body.length()),
            raw,
        };
        Form::read(&call.head.headers, call.head.uri.query(), call.body, intake).await
    }

    fn uploaded(&self, file: StoredFile) -> Response {
        json(StatusCode::OK, &Answer::ok(self.details(file, "pending")))
    }

    fn first_uploaded(&self, file: &StoredFile, asked: Expiry) -> Response {
        let uploaded = FirstUploaded {
            success: true,
            key: &file.key,
            link: &self.link(&file.key),
            expiry: in_words(file.terms.expires, asked, file.created),
        };
        json(StatusCode::OK, &uploaded)
    }
}

impl StoredFile {
    /// Another content is another file as far as reading goes: it was never downloaded.
    fn take(&mut self, content: Content) {
        self.name = content.name.resolve(&self.key);
        self.mime_type = content.mime_type;
        self.size = content.body.size();
        self.body = content.body.keep();
        self.downloads = 0;
    }
}

impl Call<'_> {
    fn rules(&self, allowance: Allowance) -> Rules {
        Rules {
            plan: allowance.plan,
            generation: self.effects.generation(),
            clamp: self.effects.any(|fault| matches!(fault, Fault::Clamp)),
            now: self.now,
        }
    }
}

fn no_file() -> Rejection {
    Rejection::bad("the request has no file")
}
