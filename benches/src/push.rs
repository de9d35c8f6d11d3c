//! A push consumer that is measured.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, bail};
use ferrocket::{Client, HeaderFormat, PushConsumer, ReceivedMessage};

use crate::{inputs, load::client, sample::Sample};

/// A push consumer whose handlers count. Between measurements they wait, so that buffers fill and pulling stops.
pub(crate) struct Push {
    counted: Arc<AtomicU64>,
    open: tokio::sync::watch::Sender<bool>,
    _consumer: PushConsumer,
    _client: Client,
}

impl Push {
    pub(crate) async fn start(address: &str, format: HeaderFormat, batches: bool) -> Result<Self> {
        let client = client(address, format).await?;
        let counted = Arc::new(AtomicU64::new(0));
        let (open, gate) = tokio::sync::watch::channel(true);
        let count = {
            let counted = counted.clone();
            move |messages: u64| {
                let (counted, mut gate) = (counted.clone(), gate.clone());
                async move {
                    if !*gate.borrow() {
                        let _ = gate.wait_for(|open| *open).await;
                    }
                    counted.fetch_add(messages, Ordering::Relaxed);
                }
            }
        };
        let consumer = client.push_consumer("bench-consumers").subscribe(inputs::TOPIC, "*");
        let consumer = if batches {
            consumer.concurrent_batch(inputs::BATCH, move |messages: Vec<ReceivedMessage>| count(messages.len() as u64))
        } else {
            consumer.concurrent(move |_: ReceivedMessage| count(1))
        };
        let _consumer = consumer.build().await?;
        let push = Self { counted, open, _consumer, _client: client };
        // The first messages come after the first rebalance.
        for _ in 0..500 {
            if push.counted.load(Ordering::Relaxed) > 0 {
                return Ok(push);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("no message came within 5 s")
    }

    pub(crate) async fn measure(&self, length: Duration) -> Result<Sample> {
        let _ = self.open.send(true);
        // What had been waiting is not what is measured.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut sample = Sample::begin();
        let before = self.counted.load(Ordering::Relaxed);
        tokio::time::sleep(length).await;
        sample.count = self.counted.load(Ordering::Relaxed) - before;
        let sample = sample.end();
        let _ = self.open.send(false);
        // Until everything has come to rest.
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(sample)
    }
}
