//! The disturbances of the conformance kit, as fault rules of the emulator.

use filestore_conformance::Disturbance;
use filestore_emulator::FaultPlan;
use serde_json::{Value, json};

/// The name of the rules in the emulator's journal.
pub(crate) const NAME: &str = "disturbance";

/// A cursor that is new on every page: the emulator replaces it by the number of the request.
const NEW: &str = "{nth}";

/// The end of the range of requests that are rejected: more than a store may send for one operation.
const REQUESTS: u32 = 20;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Service {
    PubNub,
    FilesCom,
    FileIo,
}

impl Service {
    /// Returns the fault rules for a disturbance; `None` if this service cannot have it.
    pub(crate) fn plan(self, disturbance: Disturbance) -> Option<FaultPlan> {
        let rules = match disturbance {
            Disturbance::None => Vec::new(),
            Disturbance::LostThenRejected => self.lost_then_rejected(),
            Disturbance::OkPage => vec![rule("delete", json!({ "do": { "html": { "code": 200 } } }))],
            Disturbance::OkEmpty => vec![rule("delete", json!({ "do": { "status": { "code": 200, "text": "" } } }))],
            Disturbance::RepeatedCursor => vec![self.page("again", 0)?],
            Disturbance::EmptyPages => vec![self.page(NEW, 0)?],
            Disturbance::RepeatedPage => vec![self.page(NEW, 100)?],
            _ => return None,
        };
        Some(FaultPlan::from_json(&json!({ "fault": rules }).to_string()).unwrap())
    }

    fn lost_then_rejected(self) -> Vec<Value> {
        let lost = |rule: Value| with(rule, json!({ "nth": 1, "do": "lost-answer" }));
        // The `Retry-After` of a 429 applies to all requests to the same host.
        let rejection = json!({ "status": { "code": 429, "headers": { "Retry-After": "0" } } });
        let rejected = |rule: &Value| {
            (2..REQUESTS).map(|nth| with(rule.clone(), json!({ "nth": nth, "do": rejection }))).collect::<Vec<_>>()
        };
        let uploads = match self {
            Self::PubNub => {
                let form = rule("upload", json!({ "step": "form" }));
                let url = rule("upload", json!({ "step": "generate-upload-url" }));
                let publish = rule("upload", json!({ "step": "publish", "do": rejection }));
                [vec![lost(form.clone()), publish], rejected(&form), rejected(&url)].concat()
            }
            Self::FilesCom => {
                let [begin, finish] = ["begin", "finish"].map(|step| rule("upload", json!({ "step": step })));
                [vec![lost(finish.clone())], rejected(&finish), rejected(&begin)].concat()
            }
            Self::FileIo => {
                let upload = rule("upload", json!({}));
                [vec![lost(upload.clone())], rejected(&upload)].concat()
            }
        };
        let delete = rule("delete", json!({}));
        [uploads, vec![lost(delete.clone())], rejected(&delete)].concat()
    }

    /// Returns the rule that replaces each page of a listing by one with `files` files and `cursor` as the
    /// cursor of the next page; `None` if no page of the service can say that.
    fn page(self, cursor: &str, files: u32) -> Option<Value> {
        let files = 0..files;
        let (body, headers) = match self {
            Self::PubNub => {
                let id = |number| format!("00000000-0000-4000-8000-{number:012}");
                let file =
                    |number| json!({ "name": "a", "id": id(number), "size": 1, "created": "2026-01-01T00:00:00Z" });
                (json!({ "status": 200, "data": files.map(file).collect::<Vec<_>>(), "next": cursor }), json!({}))
            }
            Self::FilesCom => {
                let file = |number| json!({ "path": format!("0/{number}"), "type": "file", "size": 1 });
                (json!(files.map(file).collect::<Vec<_>>()), json!({ "X-Files-Cursor": cursor }))
            }
            // The offset of the next page is the number of files so far: after an empty page the listing ends.
            Self::FileIo if files.is_empty() => return None,
            Self::FileIo => {
                let file = |number| json!({ "key": format!("Aa{number:010}"), "name": "a", "size": 1 });
                let nodes: Vec<_> = files.map(file).collect();
                (json!({ "success": true, "status": 200, "nodes": nodes, "count": 1_000_000 }), json!({}))
            }
        };
        let headers = with(headers, json!({ "Content-Type": "application/json" }));
        let response = json!({ "code": 200, "text": body.to_string(), "headers": headers });
        Some(rule("list", json!({ "do": { "status": response } })))
    }
}

fn rule(operation: &str, more: Value) -> Value {
    with(json!({ "name": NAME, "operation": operation }), more)
}

fn with(mut rule: Value, more: Value) -> Value {
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rule
}
