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
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.compression.CompressionType;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientIDSetter;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.sysflag.MessageSysFlag;

/**
 * The Java side of `cargo xtask interop java`. README.md beside this file says what is sent and what is printed.
 */
public final class Interop {
    private static final int GROUP_OF_SIX = 6;
    private static final int COMPRESS_OVER = 4096;

    public static void main(String[] args) throws Exception {
        if (args.length >= 5 && args[0].equals("produce")) {
            produce(args[1], args[2], Integer.parseInt(args[3]), Arrays.copyOfRange(args, 4, args.length));
        } else if (args.length == 6 && args[0].equals("consume")) {
            consume(args[1], args[2], args[3], Integer.parseInt(args[4]), Integer.parseInt(args[5]));
        } else {
            System.err.println("usage: produce NAMESRV TOPIC COUNT SPEC... | consume NAMESRV TOPIC GROUP COUNT SECONDS");
            System.exit(2);
        }
        System.exit(0);
    }

    // ---- producing

    private static void produce(String nameServer, String topic, int count, String[] specs) throws Exception {
        Map<String, DefaultMQProducer> producers = new HashMap<>();
        for (String spec : specs) {
            if (!producers.containsKey(spec)) {
                producers.put(spec, producer(nameServer, spec));
            }
        }
        for (int first = 0; first < count; first += GROUP_OF_SIX) {
            String spec = specs[first / GROUP_OF_SIX % specs.length];
            List<Message> messages = new ArrayList<>();
            List<Map<String, Object>> lines = new ArrayList<>();
            for (int index = first; index < Math.min(count, first + GROUP_OF_SIX); index++) {
                byte[] body = body(index);
                Message message = new Message(topic, body);
                setTag(message, index);
                setKeys(message, index);
                setProperties(message, index);
                messages.add(message);
                // Before the send: the client replaces the body of a message that it compresses.
                lines.add(line(message, body, compression(spec, body)));
            }
            send(producers.get(spec), spec.equals("batch"), messages);
            for (int at = 0; at < messages.size(); at++) {
                lines.get(at).put("id", MessageClientIDSetter.getUniqID(messages.get(at)));
                print(lines.get(at));
            }
        }
        producers.values().forEach(DefaultMQProducer::shutdown);
    }

    private static DefaultMQProducer producer(String nameServer, String spec) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("interop-" + spec);
        producer.setNamesrvAddr(nameServer);
        producer.setInstanceName("interop-" + spec);
        switch (spec) {
            case "none":
            case "batch":
                producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
                break;
            default:
                producer.setCompressType(CompressionType.of(spec));
                producer.setCompressMsgBodyOverHowmuch(COMPRESS_OVER);
        }
        producer.start();
        return producer;
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

    private static void check(SendResult result) {
        if (result.getSendStatus() != SendStatus.SEND_OK) {
            throw new IllegalStateException("not stored: " + result);
        }
    }

    // ---- what a message of an index contains

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
        boolean never = spec.equals("none") || spec.equals("batch") || body.length < COMPRESS_OVER;
        return never ? "none" : spec;
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

    /** The client clears the flag when it decompresses a body. The bits of the kind stay. */
    private static String compression(int sysFlag) {
        boolean compressed = (sysFlag & MessageSysFlag.COMPRESSION_TYPE_COMPARATOR) != 0;
        return compressed ? MessageSysFlag.getCompressionType(sysFlag).name().toLowerCase() : "none";
    }

    // ---- printing

    private static Map<String, Object> line(Message message, byte[] body, String compression) {
        Map<String, Object> line = new TreeMap<>();
        Map<String, String> properties = new TreeMap<>(message.getProperties());
        properties.keySet().removeAll(MessageConst.STRING_HASH_SET);
        line.put("index", Integer.parseInt(properties.get("index")));
        line.put("tag", message.getTags());
        line.put("keys", message.getKeys() == null ? List.of() : List.of(message.getKeys().split(" ")));
        line.put("properties", properties);
        line.put("length", body.length);
        line.put("sha256", sha256(body));
        line.put("compression", compression);
        return line;
    }

    private static String sha256(byte[] body) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(body));
        } catch (java.security.NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    private static synchronized void print(Map<String, Object> line) {
        String text = JSON.toJSONString(line, JSONWriter.Feature.WriteMapNullValue) + "\n";
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        System.out.write(bytes, 0, bytes.length);
        System.out.flush();
    }
}
