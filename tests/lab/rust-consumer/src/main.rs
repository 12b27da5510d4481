// SPDX-License-Identifier: Apache-2.0
//! The official Rust client by its public interface. Prints one JSON object a line.
//!
//!     rust-consumer submit DIRECTORY-URL INTENT PAYLOAD TASK-ID   discover, choose, post: sealed
//!     rust-consumer submit-clear DIRECTORY-URL INTENT PAYLOAD TASK-ID
//!     rust-consumer chat DIRECTORY-URL TEXT
//!     rust-consumer native HOST PORT [INTENT PAYLOAD]...   handshake, ping, discover, the calls
//!     rust-consumer stream HOST PORT INTENT PAYLOAD TASK-ID SESSION-ID CALL-ID
//!     rust-consumer node PORT   serves both forms until it is ended
//!     rust-consumer worker DIRECTORY-URL RELAY-HOST:PORT NODE-ID PORT   the same, reached through a relay
//!     rust-consumer relay NODE-ID HOST HTTP-PORT RELAY-PORT   a relay operator

use futures_util::StreamExt;
use iicp_client::iicp_tcp::IicpTcpClient;
use iicp_client::node::{IicpNode, NodeConfig};
use iicp_client::{ChatMessage, ChatOptions, ClientConfig, IicpClient, TaskRequest};
use serde_json::{json, Value};
use std::error::Error;

type Outcome = Result<(), Box<dyn Error>>;

fn say(what: Value) {
    println!("{what}");
}

fn client(directory: &str, sealed: bool) -> Result<IicpClient, Box<dyn Error>> {
    Ok(IicpClient::new(ClientConfig {
        directory_url: directory.into(),
        timeout_ms: 60_000,
        use_confidentiality: sealed,
        ..Default::default()
    })?)
}

async fn submit(args: &[String], sealed: bool) -> Outcome {
    let request = TaskRequest {
        task_id: args[3].clone(),
        intent: args[1].clone(),
        payload: serde_json::from_str(&args[2])?,
        constraints: None,
        route_constraints: None,
        auth: None,
        source_node_id: None,
        routing_policy: None,
    };
    match client(&args[0], sealed)?.submit(request).await {
        Ok(r) => say(json!({"status": r.status, "result": r.result, "error": r.error})),
        Err(e) => say(json!({"error": e.to_string()})),
    }
    Ok(())
}

async fn chat(args: &[String]) -> Outcome {
    let message = ChatMessage { role: "user".into(), content: args[1].clone() };
    let options = ChatOptions { max_tokens: Some(24), ..Default::default() };
    match client(&args[0], true)?.chat(vec![message], Some(options)).await {
        Ok(r) => say(json!({"text": r.choices[0].message.content, "node_id": r.node_id,
            "completion_tokens": r.usage.and_then(|u| u.completion_tokens)})),
        Err(e) => say(json!({"error": e.to_string()})),
    }
    Ok(())
}

async fn native(args: &[String]) -> Outcome {
    let mut c = IicpTcpClient::connect(&args[0], args[1].parse()?).await?;
    c.handshake().await?;
    say(json!({"peer": c.peer_node_id, "framing": c.framing_version}));
    let echoed = c.ping(Some(b"abc")).await?;
    say(json!({"ping": echoed.map(|b| String::from_utf8_lossy(&b).into_owned())}));
    say(json!({"discovered": c.discover("urn:iicp:intent:llm:chat:v1").await?.len()}));
    for pair in args[2..].chunks(2) {
        match c.call(&pair[0], serde_json::from_str(&pair[1])?, None).await {
            Ok(result) => say(json!({"intent": pair[0], "result": result})),
            Err(e) => say(json!({"intent": pair[0], "error": e.to_string()})),
        }
    }
    c.close().await?;
    Ok(())
}

async fn stream(args: &[String]) -> Outcome {
    let mut c = IicpTcpClient::connect(&args[0], args[1].parse()?).await?;
    c.handshake().await?;
    let payload = serde_json::from_str(&args[3])?;
    let key = args[4].replace('-', "");
    let mut events = Box::pin(c.call_stream(
        args[2].as_str(), payload, args[4].as_str(), args[5].as_str(), Some(args[6].clone()), Some(key)));
    while let Some(event) = events.next().await {
        match event {
            Ok(e) => say(json!({"status": e.status, "final": e.is_final, "result": e.result})),
            Err(e) => say(json!({"error": e.to_string()})),
        }
    }
    Ok(())
}

async fn node(args: &[String]) -> Outcome {
    let address = format!("127.0.0.1:{}", args[0]);
    let node = IicpNode::new(NodeConfig::new("rust-node", format!("http://{address}"), "urn:iicp:intent:llm:chat:v1"));
    say(json!({"url": format!("http://{address}")}));
    node.serve(|task| async move { Ok(json!({"content": "from the Rust node", "intent": task.intent})) }, &address, None)
        .await?;
    Ok(())
}

async fn worker(args: &[String]) -> Outcome {
    let address = format!("127.0.0.1:{}", args[3]);
    let node = IicpNode::new(NodeConfig {
        directory_url: args[0].clone(),
        relay_worker_endpoint: Some(args[1].clone()),
        model: Some("echo".into()),
        nat_type: Some("symmetric".into()),
        transport_method: Some("turn_relay".into()),
        ..NodeConfig::new(args[2].as_str(), format!("http://{address}"), "urn:iicp:intent:llm:chat:v1")
    });
    let token = node.register().await;
    say(json!({"token": token.is_ok()}));
    node.serve(
        |task| async move {
            let said = task.payload["messages"].as_array().and_then(|m| m.last()).map(|m| m["content"].clone());
            let message = json!({"role": "assistant", "content": format!("from the Rust worker: {}", said.unwrap_or_default())});
            Ok(json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}))
        },
        &address,
        token.ok(),
    )
    .await?;
    Ok(())
}

async fn relay(args: &[String]) -> Outcome {
    let address = format!("{}:{}", args[1], args[2]);
    let node = IicpNode::new(NodeConfig {
        directory_url: "http://127.0.0.1:1/api".into(),
        relay_capable: true,
        relay_accept_port: args[3].parse()?,
        model: Some("echo".into()),
        ..NodeConfig::new(args[0].as_str(), format!("http://{address}"), "urn:iicp:intent:llm:chat:v1")
    });
    node.serve(|_| async move { Ok(json!({"choices": []})) }, &address, None).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args[0].as_str() {
        "submit" => submit(&args[1..], true).await,
        "submit-clear" => submit(&args[1..], false).await,
        "chat" => chat(&args[1..]).await,
        "native" => native(&args[1..]).await,
        "stream" => stream(&args[1..]).await,
        "node" => node(&args[1..]).await,
        "worker" => worker(&args[1..]).await,
        "relay" => relay(&args[1..]).await,
        other => Err(format!("no verb {other}").into()),
    }
}
