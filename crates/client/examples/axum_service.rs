//! An axum service that shares a producer, and starts without a broker. `-- [NAME_SERVER]`

mod common;

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use ferrocket::{Applied, Client, Message, Producer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

async fn create(State(producer): State<Producer>, body: Bytes) -> Result<String, (StatusCode, String)> {
    match producer.send(Message::new("Orders", body)).await {
        Ok(receipt) => Ok(receipt.message_id().to_string()),
        Err(error) if error.applied() == Applied::No && error.is_retryable() => {
            Err((StatusCode::SERVICE_UNAVAILABLE, error.to_string()))
        }
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = common::place().await?;
    let client = Client::builder().name_servers(place.address.as_str()).connect_lazy()?; // start without a broker
    let producer = client.producer("web").build().await?;
    let health = client.clone();
    let app = Router::new()
        .route("/orders", post(create))
        .route("/ready", axum::routing::get(async move || format!("{:?}", health.health().problems())))
        .with_state(producer);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        axum::serve(listener, app).with_graceful_shutdown(async { stopped.await.unwrap_or_default() }).await
    });
    // A request of our own, so that the example ends.
    let mut connection = TcpStream::connect(address).await?;
    connection
        .write_all(b"POST /orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
        .await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    println!("{answer}");
    assert!(answer.starts_with("HTTP/1.1 200"));
    let _ = stop.send(());
    serving.await??;
    client.shutdown().await?;
    Ok(())
}
