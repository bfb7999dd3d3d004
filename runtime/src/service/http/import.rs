//! Very many devices registered over HTTP: a line of JSON for each, and one answer at the end.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use http_body_util::BodyExt;
use pollux_proto::limits::DEVICE_LINE_BYTES_MAX;
use pollux_proto::{convert, v1};
use pollux_twin::{Rejection, Value};
use prost::Message;

use super::super::import::{Came, Import, Said, refusal};
use super::super::limits::{BODY_TIME_MAX, IMPORT_SHOWN_MAX, IMPORT_WHOLE_BYTES_MAX};
use super::incoming::{Form, Incoming};
use super::problem::Problem;
use super::{json, object};

/// Registers what the body says, in lines of the form that `pollux device import` takes.
pub(super) async fn import(incoming: Incoming, body: Body) -> Result<Response<Body>, Problem> {
    let all_or_nothing = incoming.arguments(&["all_or_nothing"])?.flag("all_or_nothing")?;
    Form::Lines.check(&incoming.headers)?;
    let (caller, _place) = (incoming.caller()?.clone(), incoming.desk.import()?);
    let import = Import { desk: incoming.desk.clone(), caller, _place };
    let tenant = incoming.tenant().to_owned();
    let numbered = lines(body)
        .enumerate()
        .filter_map(move |(n, text)| std::future::ready(came(n as u64 + 1, text, &tenant)));
    if !all_or_nothing {
        return registered(import.run(numbered)).await;
    }
    let (devices, refused) = looked_at(&import, numbered).await?;
    if !refused.is_empty() {
        return Ok(answer(0, refused.len() as u64, refused));
    }
    registered(import.run(stream::iter(devices.into_iter().map(|one| Ok(Ok(one)))))).await
}

/// Registers, and says at the end what came of it.
async fn registered(said: impl Stream<Item = Said>) -> Result<Response<Body>, Problem> {
    let mut said = std::pin::pin!(said);
    let (mut registered, mut refused, mut shown) = (0, 0_u64, Vec::new());
    while let Some(said) = said.next().await {
        let said = said.map_err(|rejection| {
            Problem::from(rejection).after(format!("{registered} devices are registered already"))
        })?;
        registered = said.registered;
        refused += said.refused.len() as u64;
        let room = IMPORT_SHOWN_MAX - shown.len();
        shown.extend(said.refused.into_iter().take(room));
    }
    Ok(answer(registered, refused, shown))
}

/// All devices, and those lines of which none would be registered.
async fn looked_at(
    import: &Import,
    numbered: impl Stream<Item = Came>,
) -> Result<(Vec<v1::ImportDevicesRequest>, Vec<v1::ImportRefusal>), Problem> {
    let mut numbered = std::pin::pin!(numbered);
    let (mut devices, mut refused, mut bytes) = (Vec::new(), Vec::new(), 0);
    while let Some(came) = numbered.next().await {
        match came?.and_then(|one| import.look(one)) {
            Ok(one) => {
                bytes += one.encoded_len();
                devices.push(one);
            }
            Err(refusal) => refused.push(refusal),
        }
        if bytes > IMPORT_WHOLE_BYTES_MAX {
            let reason = format!(
                "body: all_or_nothing takes at most {IMPORT_WHOLE_BYTES_MAX} bytes of devices; send parts, or leave it out"
            );
            return Err(Rejection::Invalid { reason }.into());
        }
    }
    Ok((devices, refused))
}

fn answer(registered: u64, refused: u64, mut shown: Vec<v1::ImportRefusal>) -> Response<Body> {
    shown.sort_by_key(|refusal| refusal.line);
    shown.truncate(IMPORT_SHOWN_MAX);
    let shown = shown.into_iter().map(|v1::ImportRefusal { line, reason, message }| {
        object([("line", line.into()), ("reason", reason.into()), ("message", message.into())])
    });
    let answer = object([
        ("registered", registered.into()),
        ("refused", refused.into()),
        ("refusals", Value::Array(shown.collect())),
    ]);
    json(StatusCode::OK, &answer)
}

/// What a line says; nothing if it is empty.
fn came(line: u64, text: Result<Bytes, Rejection>, tenant: &str) -> Option<Came> {
    let text = match text {
        Ok(text) if text.trim_ascii().is_empty() => return None,
        Ok(text) => text,
        Err(rejection) => return Some(Err(rejection)),
    };
    let wrong = |reason: String| refusal(line, &Rejection::Invalid { reason });
    let device = convert::device_line(&text).and_then(|mut device| {
        if device.tenant.is_empty() {
            tenant.clone_into(&mut device.tenant);
        }
        let is_theirs = tenant.is_empty() || device.tenant == tenant;
        let elsewhere = || "tenant: the path names another; leave it out".to_owned();
        is_theirs.then_some(device).ok_or_else(elsewhere)
    });
    let one = device.map(|device| v1::ImportDevicesRequest { line, device: Some(device) });
    Some(Ok(one.map_err(wrong)))
}

/// The lines of a body as they come, without their ends.
fn lines(body: Body) -> impl Stream<Item = Result<Bytes, Rejection>> + Send {
    let reader = Reader { body: Some(body), buffer: BytesMut::new(), looked: 0 };
    stream::unfold(reader, |mut reader| async move {
        let line = reader.next().await?;
        Some((line, reader))
    })
}

struct Reader {
    /// Nothing after its end.
    body: Option<Body>,
    buffer: BytesMut,
    /// So much of the buffer has no end of a line.
    looked: usize,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<Bytes, Rejection>> {
        loop {
            let end = self.buffer[self.looked..].iter().position(|byte| *byte == b'\n');
            if let Some(end) = end {
                let line = self.buffer.split_to(self.looked + end + 1).freeze();
                self.looked = 0;
                return Some(Ok(line.slice(..line.len() - 1)));
            }
            self.looked = self.buffer.len();
            if self.looked > DEVICE_LINE_BYTES_MAX {
                return Some(self.broken("a line has at most 4 MiB"));
            }
            let Some(body) = &mut self.body else {
                let rest = self.buffer.split().freeze();
                self.looked = 0;
                return (!rest.is_empty()).then_some(Ok(rest));
            };
            match tokio::time::timeout(BODY_TIME_MAX, body.frame()).await {
                Ok(None) => self.body = None,
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Ok(Some(Err(_))) => return Some(self.broken("it ended before its end")),
                Err(_) => return Some(self.broken("nothing came for too long")),
            }
        }
    }

    fn broken(&mut self, why: &str) -> Result<Bytes, Rejection> {
        (self.body, self.looked) = (None, 0);
        self.buffer.clear();
        Err(Rejection::Invalid { reason: format!("body: {why}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(parts: &[&'static str]) -> Vec<Result<String, String>> {
        let parts =
            parts.iter().map(|part| Ok::<_, std::io::Error>(Bytes::from_static(part.as_bytes())));
        let parts: Vec<_> = parts.collect();
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let lines = lines(Body::from_stream(stream::iter(parts)));
        lines.map(|line| line.map(text).map_err(|error| format!("{error:?}"))).collect().await
    }

    #[tokio::test]
    async fn lines_come_whole_however_they_are_cut() {
        let all = ["a", "", "bc", "d"].map(|line| Ok(line.to_owned()));
        assert_eq!(read(&["a\n\nbc\nd"]).await, all);
        assert_eq!(read(&["a", "\n", "\nb", "c\nd", ""]).await, all);
        assert_eq!(read(&["a\n\nbc\nd\n"]).await, all);
        assert!(read(&[]).await.is_empty());
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_refused() {
        let long: &'static str = "x".repeat(DEVICE_LINE_BYTES_MAX / 2 + 1).leak();
        let said = read(&["a\n", long, long, "\nb"]).await;
        assert_eq!(said.len(), 2);
        assert!(said[0].is_ok() && said[1].as_ref().is_err_and(|error| error.contains("4 MiB")));
    }
}
