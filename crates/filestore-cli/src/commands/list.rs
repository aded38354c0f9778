//! `filestore list`: prints one page of files, or all pages.

use filestore::{List, Page, PageToken, Result, Store, StoredFile};
use futures::TryStreamExt;
use serde_json::json;

use crate::args;
use crate::context::Context;
use crate::output;

pub(crate) async fn run(context: &Context, args: &args::List) -> Result<u8> {
    let store = context.open(context.selected_store()?)?;
    let mut request = List::new().recursive(args.recursive);
    request.scope.clone_from(&args.scope);
    request.limit = args.limit;
    request.page = args.page.as_deref().map(PageToken::new);
    if args.all {
        all(context, &store, request).await?;
    } else {
        let page = store.list(request).await?;
        print(context, &page, true)?;
        print_left_out(context, page.left_out)?;
        if let Some(next) = &page.next {
            if context.json {
                output::line(output::json(&json!({ "next": next.as_str() })))?;
            } else if !context.quiet {
                // Quoted for a shell: the token may be a path with spaces in it.
                let token = output::visible(next.as_str()).replace('\'', r"'\''");
                output::report(&format!(
                    "there are more files; continue with --page='{token}', or list all with --all"
                ));
            }
        }
    }
    Ok(0)
}

/// Prints all pages, each before the next one is fetched. `--limit` is the size of a page here.
async fn all(context: &Context, store: &Store, request: List) -> Result<()> {
    let mut pages = std::pin::pin!(store.list_pages(request));
    let mut first = true;
    let mut left_out = 0;
    while let Some(page) = pages.try_next().await? {
        print(context, &page, first)?;
        first = false;
        left_out += page.left_out;
    }
    print_left_out(context, left_out)
}

fn print(context: &Context, page: &Page, headings: bool) -> Result<()> {
    if context.json {
        let folders = page.folders.iter().map(|scope| json!({ "folder": scope }));
        let mut lines = folders.chain(page.files.iter().map(output::json_of));
        return lines.try_for_each(|line| output::line(output::json(&line)));
    }
    let folders = page.folders.iter().map(|scope| vec!["-".into(), "-".into(), format!("{scope}/"), String::new()]);
    let rows: Vec<Vec<String>> = folders.chain(page.files.iter().map(row)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let table = output::table(&["SIZE", "MODIFIED", "NAME", "REFERENCE"], &rows);
    let skip = if headings { 0 } else { table.find('\n').map_or(0, |end| end + 1) };
    output::write_all(&table.as_bytes()[skip..])
}

/// Reports the number of entries that the listing left out.
fn print_left_out(context: &Context, left_out: u64) -> Result<()> {
    match left_out {
        0 => Ok(()),
        _ if context.json => output::line(output::json(&json!({ "left_out": left_out }))),
        _ => {
            let reason = "no reference can name them, or their size or time is invalid";
            context.warn(&format!("the listing leaves out {left_out} of the entries: {reason}"));
            Ok(())
        }
    }
}

fn row(file: &StoredFile) -> Vec<String> {
    let size = file.size.or(file.stored_size).map_or("-".into(), |size| size.to_string());
    let modified = file.modified.or(file.created).map_or("-".into(), |time| format!("{time:.0}"));
    vec![size, modified, file.name.clone(), file.reference.to_string()]
}
