import com.alibaba.fastjson2.JSON;
import com.alibaba.fastjson2.JSONWriter;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.compression.CompressionType;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientIDSetter;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.sysflag.MessageSysFlag;

/**
 * The Java side of `cargo xtask interop java`. README.md beside this file says what is sent and what is printed.
 */
public final class Interop {
    static final int GROUP_OF_SIX = 6;
    private static final int COMPRESS_OVER = 4096;
    private static final List<String> USERS = List.of("index", "unicode-\u540d", "json", "long");

    public static void main(String[] args) {
        try {
            run(args);
        } catch (Throwable error) {
            // Threads of the client would keep a failed program alive.
            error.printStackTrace();
            System.exit(1);
        }
        System.exit(0);
    }

    private static void run(String[] args) throws Exception {
        if (args.length >= 5 && args[0].equals("produce")) {
            produce(args[1], args[2], Integer.parseInt(args[3]), Arrays.copyOfRange(args, 4, args.length));
        } else if (args.length == 6 && args[0].equals("consume")) {
            consume(args[1], args[2], args[3], Integer.parseInt(args[4]), Integer.parseInt(args[5]));
        } else if (args.length == 4 && args[0].equals("request")) {
            request(args[1], args[2], Integer.parseInt(args[3]));
        } else if (args.length == 6 && args[0].equals("reply")) {
            reply(args[1], args[2], args[3], Integer.parseInt(args[4]), Integer.parseInt(args[5]));
        } else if (args.length == 5 && args[0].equals("transact")) {
            transact(args[1], args[2], Integer.parseInt(args[3]), Integer.parseInt(args[4]));
        } else if (args.length == 5 && args[0].equals("deliver")) {
            Deliveries.print(args[1], args[2], args[3], args[4]);
        } else if (args.length == 4 && args[0].equals("flow")) {
            Sharing.flow(args[1], args[2], Long.parseLong(args[3]));
        } else if (args.length == 6 && args[0].equals("share")) {
            Sharing.share(args[1], args[2], args[3], args[4], Long.parseLong(args[5]));
        } else if (args.length >= 7 && args[0].equals("trace")) {
            Traces.write(args[1], args[2], args[3], Integer.parseInt(args[4]), Integer.parseInt(args[5]),
                Arrays.copyOfRange(args, 6, args.length));
        } else if (args.length == 7 && args[0].equals("read-trace")) {
            Traces.read(args[1], args[2], args[3], args[4], Integer.parseInt(args[5]), Integer.parseInt(args[6]));
        } else {
            System.err.println("usage: produce NAMESRV TOPIC COUNT SPEC... | consume NAMESRV TOPIC GROUP COUNT SECONDS"
                + " | request NAMESRV TOPIC COUNT | reply NAMESRV TOPIC GROUP COUNT SECONDS | transact NAMESRV TOPIC COUNT SECONDS"
                + " | deliver NAMESRV TOPIC GROUP concurrent|orderly"
                + " | flow NAMESRV TOPIC MILLIS | share NAMESRV TOPIC GROUP concurrent|orderly MILLIS"
                + " | trace NAMESRV TOPIC TRACETOPIC COUNT SECONDS SPEC..."
                + " | read-trace NAMESRV TOPIC TRACETOPIC GROUP COUNT SECONDS");
            System.exit(2);
        }
    }

    // ---- producing

    private static void produce(String nameServer, String topic, int count, String[] specs) throws Exception {
        Map<String, DefaultMQProducer> producers = new HashMap<>();
        for (String spec : specs) {
            if (!producers.containsKey(spec)) {
                producers.put(spec, producer(nameServer, spec, "interop-" + spec));
            }
        }
        for (int first = 0; first < count; first += GROUP_OF_SIX) {
            String spec = specs[first / GROUP_OF_SIX % specs.length];
            List<Message> messages = new ArrayList<>();
            List<Map<String, Object>> lines = new ArrayList<>();
            for (int index = first; index < Math.min(count, first + GROUP_OF_SIX); index++) {
                Message message = message(topic, index);
                byte[] body = message.getBody();
                // Before the send: the client replaces the body of a message that it compresses.
                Map<String, Object> line = line(message, body, compression(spec, body));
                setDelivery(message, spec, line);
                messages.add(message);
                lines.add(line);
            }
            send(producers.get(spec), spec.equals("batch"), messages);
            for (int at = 0; at < messages.size(); at++) {
                lines.get(at).put("id", MessageClientIDSetter.getUniqID(messages.get(at)));
                print(lines.get(at));
            }
        }
        producers.values().forEach(DefaultMQProducer::shutdown);
    }

    /** Replies find a requester by its client id, so no two processes may have the same instance name. */
    static DefaultMQProducer producer(String nameServer, String spec, String instance) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer(instance);
        producer.setNamesrvAddr(nameServer);
        producer.setInstanceName(instance);
        switch (spec) {
            case "none":
            case "batch":
            case "delay":
            case "timer":
                producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
                break;
            default:
                producer.setCompressType(CompressionType.of(spec));
                producer.setCompressMsgBodyOverHowmuch(COMPRESS_OVER);
        }
        producer.start();
        return producer;
    }

    /** A timer counts in whole seconds, and may be up to one early. */
    private static void setDelivery(Message message, String spec, Map<String, Object> line) {
        if (spec.equals("delay")) {
            message.setDelayTimeLevel(1);
            line.put("least_wait_ms", 1000);
        } else if (spec.equals("timer")) {
            message.setDelayTimeMs(3000);
            line.put("least_wait_ms", 2000);
        }
    }

    private static void send(DefaultMQProducer producer, boolean batch, List<Message> messages) throws Exception {
        if (batch) {
            check(producer.send(messages));
        } else {
            for (Message message : messages) {
                check(producer.send(message));
            }
        }
    }

    static void check(SendResult result) {
        if (result.getSendStatus() != SendStatus.SEND_OK) {
            throw new IllegalStateException("not stored: " + result);
        }
    }

    // ---- what a message of an index contains

    static Message message(String topic, int index) {
        Message message = new Message(topic, body(index));
        setTag(message, index);
        setKeys(message, index);
        setProperties(message, index);
        return message;
    }

    private static byte[] body(int index) {
        switch (index % 6) {
            case 0:
                return ("message " + index).getBytes(StandardCharsets.UTF_8);
            case 1:
                return ("größer \u4e16\u754c \ud83d\ude80 " + index).getBytes(StandardCharsets.UTF_8);
            case 2:
                return new byte[] {(byte) index};
            case 3: {
                byte[] all = new byte[256];
                for (int at = 0; at < all.length; at++) {
                    all[at] = (byte) (at + index);
                }
                return all;
            }
            case 4:
                return ("line " + index + " of a text that compresses well\n").repeat(400).getBytes(StandardCharsets.UTF_8);
            default: {
                byte[] noise = new byte[8192];
                int state = index;
                for (int at = 0; at < noise.length; at++) {
                    state = state * 1664525 + 1013904223;
                    noise[at] = (byte) (state >>> 24);
                }
                return noise;
            }
        }
    }

    private static void setTag(Message message, int index) {
        switch (index % 3) {
            case 1:
                message.setTags("tag-a");
                break;
            case 2:
                message.setTags("\u6807\u7b7e");
                break;
            default:
        }
    }

    private static void setKeys(Message message, int index) {
        switch (index % 4) {
            case 1:
                message.setKeys("key-" + index);
                break;
            case 2:
                message.setKeys(List.of("key-" + index + "-a", "key-" + index + "-b"));
                break;
            case 3:
                message.setKeys("schl\u00fcssel-" + index);
                break;
            default:
        }
    }

    private static void setProperties(Message message, int index) {
        message.putUserProperty("index", Integer.toString(index));
        if (index % 2 == 1) {
            message.putUserProperty("unicode-\u540d", "na\u00efve \u2713 \ud83d\ude80");
            message.putUserProperty("json", "{\"a\":\"b\\\"c\",\"d\":[1,2]}\n\t=;&");
        }
        if (index % 5 == 0) {
            message.putUserProperty("long", "x".repeat(1000));
        }
    }

    private static String compression(String spec, byte[] body) {
        boolean ever = List.of("zlib", "lz4", "zstd").contains(spec) && body.length >= COMPRESS_OVER;
        return ever ? spec : "none";
    }

    // ---- consuming

    private static void consume(String nameServer, String topic, String group, int count, int seconds) throws Exception {
        Map<String, Boolean> seen = new ConcurrentHashMap<>();
        CountDownLatch latch = new CountDownLatch(count);
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(nameServer);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                if (seen.putIfAbsent(message.getMsgId(), true) == null) {
                    Map<String, Object> line = line(message, message.getBody(), compression(message.getSysFlag()));
                    line.put("id", message.getMsgId());
                    line.put("waited_ms", message.getStoreTimestamp() - message.getBornTimestamp());
                    print(line);
                    latch.countDown();
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        boolean complete = latch.await(seconds, TimeUnit.SECONDS);
        consumer.shutdown();
        if (!complete) {
            System.err.println("got " + seen.size() + " of " + count + " messages within " + seconds + " s");
            System.exit(3);
        }
    }

    // ---- requests and replies

    private static void request(String nameServer, String topic, int count) throws Exception {
        DefaultMQProducer producer = producer(nameServer, "none", "interop-request");
        for (int index = 0; index < count; index++) {
            Message request = message(topic, index);
            Map<String, Object> line = line(request, request.getBody(), "none");
            Message reply = producer.request(request, 30_000);
            line.put("id", MessageClientIDSetter.getUniqID(request));
            putReply(line, reply.getBody());
            print(line);
        }
        producer.shutdown();
    }

    private static void reply(String nameServer, String topic, String group, int count, int seconds) throws Exception {
        Map<String, Boolean> seen = new ConcurrentHashMap<>();
        CountDownLatch latch = new CountDownLatch(count);
        DefaultMQProducer producer = producer(nameServer, "none", "interop-reply");
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(nameServer);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                byte[] body = reversed(message.getBody());
                try {
                    check(producer.send(MessageUtil.createReplyMessage(message, body), 10_000));
                } catch (Exception error) {
                    System.err.println("no reply to " + message.getMsgId() + ", it will be tried again: " + error);
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
                if (seen.putIfAbsent(message.getMsgId(), true) != null) {
                    continue;
                }
                Map<String, Object> line = line(message, message.getBody(), "none");
                line.put("id", message.getMsgId());
                putReply(line, body);
                print(line);
                latch.countDown();
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        boolean complete = latch.await(seconds, TimeUnit.SECONDS);
        consumer.shutdown();
        producer.shutdown();
        if (!complete) {
            System.err.println("got " + seen.size() + " of " + count + " requests within " + seconds + " s");
            System.exit(3);
        }
    }

    private static byte[] reversed(byte[] bytes) {
        byte[] turned = new byte[bytes.length];
        for (int at = 0; at < bytes.length; at++) {
            turned[at] = bytes[bytes.length - 1 - at];
        }
        return turned;
    }

    private static void putReply(Map<String, Object> line, byte[] body) {
        line.put("reply_length", body.length);
        line.put("reply_sha256", sha256(body));
    }

    // ---- transactions

    /** Of six: two are committed at once, two rolled back, one committed and one rolled back when the broker asks. */
    static LocalTransactionState atOnce(int index) {
        switch (index % 3) {
            case 0:
                return LocalTransactionState.COMMIT_MESSAGE;
            case 1:
                return LocalTransactionState.ROLLBACK_MESSAGE;
            default:
                return LocalTransactionState.UNKNOW;
        }
    }

    static boolean isCommitted(int index) {
        return index % 3 == 0 || index % 6 == 2;
    }

    /** Brokers ask any producer of a group, also about messages of one that is gone: every topic has a group of its own. */
    static String ownGroup(String topic) {
        return topic + "-producer";
    }

    private static void transact(String nameServer, String topic, int count, int seconds) throws Exception {
        Map<Integer, Boolean> asked = new ConcurrentHashMap<>();
        CountDownLatch latch = new CountDownLatch(count / 3);
        TransactionMQProducer producer = new TransactionMQProducer(ownGroup(topic));
        producer.setNamesrvAddr(nameServer);
        producer.setInstanceName("interop-transact");
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        producer.setTransactionListener(new TransactionListener() {
            @Override
            public LocalTransactionState executeLocalTransaction(Message message, Object index) {
                return atOnce((Integer) index);
            }

            @Override
            public LocalTransactionState checkLocalTransaction(MessageExt message) {
                int index = Integer.parseInt(message.getUserProperty("index"));
                // Brokers ask about ended ones too, within seconds of their end.
                if (index % 3 == 2 && asked.putIfAbsent(index, true) == null) {
                    latch.countDown();
                }
                return isCommitted(index) ? LocalTransactionState.COMMIT_MESSAGE : LocalTransactionState.ROLLBACK_MESSAGE;
            }
        });
        producer.start();
        for (int index = 0; index < count; index++) {
            Message message = message(topic, index);
            Map<String, Object> line = line(message, message.getBody(), "none");
            check(producer.sendMessageInTransaction(message, index));
            line.put("id", MessageClientIDSetter.getUniqID(message));
            if (isCommitted(index)) {
                print(line);
            }
        }
        boolean complete = latch.await(seconds, TimeUnit.SECONDS);
        // The last answer leaves after the listener has returned, and nobody confirms it.
        Thread.sleep(1000);
        producer.shutdown();
        if (!complete) {
            System.err.println("the broker asked for " + asked.size() + " of " + count / 3 + " within " + seconds + " s");
            System.exit(3);
        }
    }

    /** The client clears the flag when it decompresses a body. The bits of the kind stay. */
    private static String compression(int sysFlag) {
        boolean compressed = (sysFlag & MessageSysFlag.COMPRESSION_TYPE_COMPARATOR) != 0;
        return compressed ? MessageSysFlag.getCompressionType(sysFlag).name().toLowerCase() : "none";
    }

    // ---- printing

    static Map<String, Object> line(Message message, byte[] body, String compression) {
        Map<String, Object> line = new TreeMap<>();
        Map<String, String> properties = new TreeMap<>(message.getProperties());
        properties.keySet().retainAll(USERS);
        line.put("index", Integer.parseInt(properties.get("index")));
        line.put("tag", message.getTags());
        line.put("keys", keys(message.getKeys()));
        line.put("properties", properties);
        line.put("length", body.length);
        line.put("sha256", sha256(body));
        line.put("compression", compression);
        return line;
    }

    static List<String> keys(String text) {
        return text == null ? List.of() : List.of(text.split(" "));
    }

    private static String sha256(byte[] body) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(body));
        } catch (java.security.NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    static synchronized void print(Map<String, Object> line) {
        String text = JSON.toJSONString(line, JSONWriter.Feature.WriteMapNullValue) + "\n";
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        System.out.write(bytes, 0, bytes.length);
        System.out.flush();
    }
}
