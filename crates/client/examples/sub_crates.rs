//! Only `ferrocket-protocol` and `ferrocket-remoting`: no route cache, no heartbeat, no groups. `-- [NAME_SERVER]`

mod common;

use std::time::Duration;

use ferrocket_protocol::request::{GetMaxOffset, GetRoute};
use ferrocket_remoting::{CallError, Connection, Options};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = common::place().await?;
    let second = Duration::from_secs(1);
    let name_server = Connection::connect(&place.address, Options::default()).await?;
    let route = name_server.call(&GetRoute::new("Orders"), second).await?;
    for broker in &route.brokers {
        let Some(address) = &broker.master else { continue };
        let connection = Connection::connect(address, Options::default()).await?;
        let queues = route.subscribe_queues(&"Orders".into());
        for queue in queues.into_iter().filter(|queue| *queue.broker() == *broker.name) {
            match connection.call(&GetMaxOffset::new(queue.clone()), second).await {
                Ok(offset) => println!("{queue}: {offset}"),
                Err(CallError::Answer { code, remark }) => println!("{queue}: {code:?} {remark}"),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
