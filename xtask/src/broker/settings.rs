//! What the servers are told: their configuration files and the flags of their JVMs.
//!
//! Keys that a release does not know are ignored by it, so both get the same file.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result};

use super::Release;
use super::ports::Ports;

/// The broker's name in routes.
pub(crate) const BROKER_NAME: &str = "broker-a";

/// Small and quick to start. None of it matters to what the servers answer.
const SMALL: [&str; 3] = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xss512k"];

/// Without these the shutdown hook of 4.9.7 dies on a current JDK, and the next start on that store fails.
const OPENS: [&str; 4] =
    ["--add-opens", "java.base/java.nio=ALL-UNNAMED", "--add-opens", "java.base/jdk.internal.ref=ALL-UNNAMED"];

/// One of the two servers.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    main_class: &'static str,
    memory: [&'static str; 3],
    logging: &'static str,
}

pub(crate) const NAME_SERVER: Kind = Kind {
    name: "name server",
    main_class: "org.apache.rocketmq.namesrv.NamesrvStartup",
    memory: ["-Xms32m", "-Xmx64m", "-XX:MaxDirectMemorySize=32m"],
    logging: "logback_namesrv.xml",
};

/// The tests send bodies of 4 MiB, and a frame needs its own size in direct memory again.
pub(crate) const BROKER: Kind = Kind {
    name: "broker",
    main_class: "org.apache.rocketmq.broker.BrokerStartup",
    memory: ["-Xms64m", "-Xmx512m", "-XX:MaxDirectMemorySize=512m"],
    logging: "logback_broker.xml",
};

/// Writes a server's files into its home and returns the arguments of `java`.
pub(crate) fn prepare(
    kind: Kind,
    release: Release,
    class_path: &str,
    home: &Path,
    config: &str,
) -> Result<Vec<OsString>> {
    let file = home.join("server.conf");
    write(&file, config)?;
    let mut arguments: Vec<OsString> = Vec::new();
    arguments.extend(SMALL.iter().chain(&kind.memory).map(OsString::from));
    if release == Release::V4_9_7 {
        arguments.extend(OPENS.map(OsString::from));
        // This release ends at once when the file is missing.
        write(&home.join("conf").join(kind.logging), &logback(home))?;
    }
    for property in ["user.home", "rocketmq.home.dir"] {
        let mut argument = OsString::from(format!("-D{property}="));
        argument.push(home);
        arguments.push(argument);
    }
    arguments.extend(["-cp", class_path, kind.main_class, "-c"].map(OsString::from));
    arguments.push(file.into());
    Ok(arguments)
}

/// The name server's configuration.
pub(crate) fn name_server(home: &Path, ports: Ports) -> String {
    format!("listenPort={}\nbindAddress=127.0.0.1\nrocketmqHome={}\n", ports.name_server, home.display())
}

/// The broker's configuration; `more` are lines of the caller's, which win.
pub(crate) fn broker(home: &Path, ports: Ports, more: &[String]) -> String {
    let Ports { name_server, broker, ha } = ports;
    let home = home.display();
    let mut text = format!(
        "brokerClusterName=ferrocket
brokerName={BROKER_NAME}
brokerId=0
namesrvAddr=127.0.0.1:{name_server}
brokerIP1=127.0.0.1
brokerIP2=127.0.0.1
bindAddress=127.0.0.1
listenPort={broker}
haListenPort={ha}
rocketmqHome={home}
storePathRootDir={home}/store
storePathCommitLog={home}/store/commitlog
{BROKER_BEHAVIOUR}"
    );
    for line in more {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// In order: small files; a full disk is no reason to refuse; what the tests use; short waits, so that retries and
/// checks come soon; a stalled machine is no reason to refuse; two keys without which an idle 5.x broker costs a
/// sixth of a core.
const BROKER_BEHAVIOUR: &str = "\
mappedFileSizeCommitLog=16777216
mappedFileSizeConsumeQueue=60000
mappedFileSizeTimerLog=1048576
maxHashSlotNum=1000
maxIndexNum=4000
diskMaxUsedSpaceRatio=98
diskSpaceWarningLevelRatio=99
diskSpaceCleanForciblyRatio=99
deleteWhen=04
fileReservedTime=72
autoCreateTopicEnable=true
autoCreateSubscriptionGroup=true
enablePropertyFilter=true
recallMessageEnable=true
messageDelayLevel=1s 2s 3s 4s 5s 6s 7s 8s 9s 10s
transactionTimeOut=2000
transactionCheckInterval=1000
waitTimeMillsInSendQueue=5000
timerFlushIntervalMs=60000
transactionMetricFlushInterval=1000
";

fn logback(home: &Path) -> String {
    let file = home.join("logs").join("rocketmqlogs").join("broker.log");
    format!(
        "<configuration>
  <appender name=\"file\" class=\"ch.qos.logback.core.FileAppender\">
    <file>{}</file>
    <encoder><pattern>%d{{HH:mm:ss.SSS}} %-5level %logger{{0}} - %msg%n</pattern></encoder>
  </appender>
  <root level=\"INFO\"><appender-ref ref=\"file\"/></root>
</configuration>
",
        file.display()
    )
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
