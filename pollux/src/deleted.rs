//! `pollux device list --deleted`: what can be brought back.

use pollux_proto::{convert, v1};
use serde_json::json;

use crate::access::{table, when};
use crate::args::{ListDevicesArgs, Output};
use crate::client::Client;
use crate::exit::Failure;
use crate::fleet::json_of;
use crate::print;

/// Devices that a node tells at once.
const PAGE: u32 = 1_000;

/// Prints them, page after page until there are as many as may be.
pub(crate) async fn list(output: Output, args: ListDevicesArgs) -> Result<(), Failure> {
    let client = Client::connect(&args.client).await?;
    let (mut found, mut page_token) = (Vec::new(), args.cursor);
    loop {
        let left = args.limit - u32::try_from(found.len()).unwrap_or(args.limit);
        let (tenant, prefix, page_size) =
            (args.tenant.clone(), args.prefix.clone(), left.min(PAGE));
        let request = v1::ListDeletedRequest { tenant, prefix, page_size, page_token };
        let page = client.devices().list_deleted(client.request(request)).await?.into_inner();
        found.extend(page.devices);
        page_token = page.next_page_token;
        if page_token.is_empty() || found.len() >= args.limit as usize {
            break;
        }
    }
    let row = |one: &v1::DeletedDevice| {
        let deleted = if one.is_back { "is back".to_owned() } else { when(one.deleted_at_ms) };
        let until = when(one.restorable_until_ms);
        vec![format!("{}/{}", one.tenant, one.device), deleted, one.deleted_by.clone(), until]
    };
    let head = ["DEVICE", "DELETED", "BY", "RESTORABLE UNTIL"];
    let text = table(&head, found.iter().map(row).collect());
    let devices: Vec<_> =
        found.iter().map(|one| json_of(&convert::deleted_device_json(one))).collect();
    let mut json = json!({ "devices": devices });
    if !page_token.is_empty() {
        print::note(&format!("there are more; go on with --cursor {page_token}"));
        json["next_cursor"] = json!(page_token);
    }
    print::result(output, &text, &json)
}
