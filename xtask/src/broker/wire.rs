//! Just enough of the remoting protocol to ask a real server a question.
//!
//! Written by hand and independent of the library, so that a bug there cannot hide itself from the tests' own set-up.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(10);
const LARGEST_FRAME: usize = 16 << 20;

const UPDATE_AND_CREATE_TOPIC: i32 = 17;
const GET_ROUTE_INFO: i32 = 105;
const GET_BROKER_CLUSTER_INFO: i32 = 106;
const INVOKE_BROKER_TO_GET_CONSUMER_STATUS: i32 = 223;

/// What a server answered.
#[derive(Debug)]
struct Response {
    code: i64,
    remark: String,
    body: Vec<u8>,
}

/// The brokers that a name server lists: broker name, id and address.
pub(crate) fn brokers(name_server: SocketAddr) -> Result<Vec<(String, String, String)>> {
    let response = call(name_server, GET_BROKER_CLUSTER_INFO, &json!({}))?;
    let body = json_body(&response)?;
    let mut found = Vec::new();
    for (name, broker) in body["brokerAddrTable"].as_object().into_iter().flatten() {
        for (id, address) in broker["brokerAddrs"].as_object().into_iter().flatten() {
            found.push((name.clone(), id.clone(), address.as_str().unwrap_or_default().to_owned()));
        }
    }
    Ok(found)
}

/// Creates a topic on a broker, with as many queues for reading as for writing.
pub(crate) fn create_topic(broker: SocketAddr, topic: &str, queues: u32) -> Result<()> {
    let queues = queues.to_string();
    let fields = json!({
        "topic": topic, "defaultTopic": "TBW102", "readQueueNums": queues, "writeQueueNums": queues, "perm": "6",
        "topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false", "attributes": "", "force": "false",
    });
    succeeded(&call(broker, UPDATE_AND_CREATE_TOPIC, &fields)?)
}

/// Whether a name server has a route for a topic.
pub(crate) fn has_route(name_server: SocketAddr, topic: &str) -> Result<bool> {
    Ok(call(name_server, GET_ROUTE_INFO, &json!({ "topic": topic }))?.code == 0)
}

/// What a broker answers when it is to ask the members of a group how far they are in a topic. It waits up to 5 s for each.
pub(crate) fn consumer_status(broker: SocketAddr, topic: &str, group: &str) -> Result<String> {
    let response = call(broker, INVOKE_BROKER_TO_GET_CONSUMER_STATUS, &json!({ "topic": topic, "group": group }))?;
    succeeded(&response)?;
    String::from_utf8(response.body).context("the server's answer is not UTF-8")
}

fn succeeded(response: &Response) -> Result<()> {
    if response.code != 0 {
        bail!("the server answered {}: {}", response.code, response.remark);
    }
    Ok(())
}

fn json_body(response: &Response) -> Result<Value> {
    succeeded(response)?;
    let text = std::str::from_utf8(&response.body).context("the server's answer is not UTF-8")?;
    serde_json::from_str(&quote_number_keys(text)).context("the server's answer is not JSON")
}

fn call(address: SocketAddr, code: i32, fields: &Value) -> Result<Response> {
    let mut stream =
        TcpStream::connect_timeout(&address, LIMIT).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.write_all(&encode(code, fields)?).with_context(|| format!("cannot write to {address}"))?;
    read(&mut stream).with_context(|| format!("no answer to request {code} from {address}"))
}

/// Length, header length, header; the lengths are big-endian and the first does not count itself.
fn encode(code: i32, fields: &Value) -> Result<Vec<u8>> {
    let header = json!({
        "code": code, "language": "JAVA", "version": 401, "opaque": 1, "flag": 0, "serializeTypeCurrentRPC": "JSON",
        "extFields": fields,
    })
    .to_string();
    let header_length = u32::try_from(header.len()).context("the header is too long")?;
    let mut frame = Vec::with_capacity(header.len() + 8);
    frame.extend((header_length + 4).to_be_bytes());
    frame.extend(header_length.to_be_bytes());
    frame.extend(header.as_bytes());
    Ok(frame)
}

fn read(stream: &mut impl Read) -> Result<Response> {
    let mut word = [0; 4];
    stream.read_exact(&mut word)?;
    let length = u32::from_be_bytes(word) as usize;
    if !(4..=LARGEST_FRAME).contains(&length) {
        bail!("a frame of {length} bytes");
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    let (head, rest) = frame.split_at(4);
    if head[0] != 0 {
        bail!("a header of kind {} instead of JSON", head[0]);
    }
    let header_length = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
    let (header, body) = rest.split_at_checked(header_length).context("a header longer than its frame")?;
    let header: Value = serde_json::from_slice(header).context("a header that is not JSON")?;
    Ok(Response {
        code: header["code"].as_i64().context("a header without a code")?,
        remark: header["remark"].as_str().unwrap_or_default().to_owned(),
        body: body.to_vec(),
    })
}

/// The servers write maps with numbers as keys without quotes: `{0:"127.0.0.1:10911"}`.
fn quote_number_keys(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let (mut in_string, mut escaped) = (false, false);
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        out.push(character);
        if in_string {
            (in_string, escaped) = (character != '"' || escaped, character == '\\' && !escaped);
        } else if character == '"' {
            in_string = true;
        } else if matches!(character, '{' | ',') {
            let mut digits = String::new();
            while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            // A number after a comma is an element of an array unless a colon follows.
            let quote = if !digits.is_empty() && rest.peek() == Some(&':') { "\"" } else { "" };
            out.extend([quote, &digits, quote]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_keys_are_quoted_and_nothing_else() {
        let text = r#"{"a":{0:"x:1,2:3",17:"\"{5:"},"b":[1,2],"c":{"3":4}}"#;
        let expected = r#"{"a":{"0":"x:1,2:3","17":"\"{5:"},"b":[1,2],"c":{"3":4}}"#;
        assert_eq!(quote_number_keys(text), expected);
    }

    #[test]
    fn a_frame_is_read_back() {
        let mut frame = encode(106, &json!({"topic": "T"})).unwrap();
        frame.extend(b"body");
        let length = u32::try_from(frame.len() - 4).unwrap();
        frame[..4].copy_from_slice(&length.to_be_bytes());
        let response = read(&mut frame.as_slice()).unwrap();
        assert_eq!((response.code, response.body.as_slice()), (106, b"body".as_slice()));
    }

    #[test]
    fn lengths_from_the_wire_are_claims() {
        assert!(read(&mut [0xff; 16].as_slice()).is_err());
        assert!(read(&mut [0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, 0].as_slice()).is_err());
    }
}
