import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.trace.TraceBean;
import org.apache.rocketmq.client.trace.TraceContext;
import org.apache.rocketmq.client.trace.TraceDataEncoder;
import org.apache.rocketmq.client.trace.TraceType;
import org.apache.rocketmq.client.trace.TraceView;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientIDSetter;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Message trace: written by the client's own producers, and read as the tools of the servers read it.
 */
final class Traces {
    private Traces() {
    }

    // ---- writing

    /** Sends with message trace on, and prints the records that are to be found afterwards. */
    static void write(String nameServer, String topic, String traceTopic, int count, int seconds, String[] specs) throws Exception {
        Checks checks = new Checks();
        TransactionMQProducer producer = new TransactionMQProducer(Interop.ownGroup(topic));
        producer.setNamesrvAddr(nameServer);
        producer.setInstanceName("interop-trace");
        producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
        producer.setEnableTrace(true);
        producer.setTraceTopic(traceTopic);
        producer.setTransactionListener(checks);
        producer.start();
        int open = 0;
        for (int first = 0; first < count; first += Interop.GROUP_OF_SIX) {
            String spec = specs[first / Interop.GROUP_OF_SIX % specs.length];
            List<Message> messages = new ArrayList<>();
            for (int index = first; index < Math.min(count, first + Interop.GROUP_OF_SIX); index++) {
                messages.add(Interop.message(topic, index));
            }
            if (spec.equals("batch")) {
                writeBatch(producer, messages);
                continue;
            }
            for (int at = 0; at < messages.size(); at++) {
                switch (spec) {
                    case "none":
                        writeOne(producer, messages.get(at), "normal");
                        break;
                    case "delay":
                        messages.get(at).setDelayTimeLevel(1);
                        writeOne(producer, messages.get(at), "delay");
                        break;
                    case "transaction":
                        open += writeTransaction(producer, messages.get(at), first + at);
                        break;
                    default:
                        throw new IllegalArgumentException("unknown spec " + spec);
                }
            }
        }
        boolean complete = checks.await(open, seconds);
        // The record of the last answer is made after the listener has returned.
        Thread.sleep(1000);
        producer.shutdown();
        if (!complete) {
            System.err.println("the broker asked for " + checks.asked.size() + " of " + open + " within " + seconds + " s");
            System.exit(3);
        }
    }

    private static void writeOne(DefaultMQProducer producer, Message message, String kind) throws Exception {
        Interop.check(producer.send(message));
        Interop.print(pub(message, kind));
    }

    /** One record for all of it, with all ids, and with neither tag nor keys. */
    private static void writeBatch(DefaultMQProducer producer, List<Message> messages) throws Exception {
        SendResult result = producer.send(messages);
        Interop.check(result);
        Map<String, Object> line = pub(messages.get(0), "normal");
        line.put("id", result.getMsgId());
        line.put("tag", null);
        line.put("keys", List.of());
        line.put("length", MessageDecoder.encodeMessages(messages).length);
        Interop.print(line);
    }

    /** Says how many checks it leaves to the broker. */
    private static int writeTransaction(TransactionMQProducer producer, Message message, int index) throws Exception {
        Interop.check(producer.sendMessageInTransaction(message, index));
        Interop.print(pub(message, "half"));
        LocalTransactionState atOnce = Interop.atOnce(index);
        Interop.print(end(message, atOnce, false));
        if (atOnce != LocalTransactionState.UNKNOW) {
            return 0;
        }
        Interop.print(end(message, Checks.state(index), true));
        return 1;
    }

    private static Map<String, Object> pub(Message message, String kind) {
        Map<String, Object> line = line(TraceType.Pub, message);
        line.put("kind", kind);
        line.put("length", message.getBody().length);
        line.put("success", true);
        return line;
    }

    private static Map<String, Object> end(Message message, LocalTransactionState state, boolean fromCheck) {
        Map<String, Object> line = line(TraceType.EndTransaction, message);
        line.put("kind", "commit");
        line.put("state", name(state));
        line.put("from_check", fromCheck);
        line.put("transaction", MessageClientIDSetter.getUniqID(message));
        return line;
    }

    private static Map<String, Object> line(TraceType type, Message message) {
        Map<String, Object> line = new TreeMap<>();
        line.put("record", type.name());
        line.put("id", MessageClientIDSetter.getUniqID(message));
        line.put("topic", message.getTopic());
        line.put("group", Interop.ownGroup(message.getTopic()));
        line.put("region", "DefaultRegion");
        line.put("tag", message.getTags());
        line.put("keys", Interop.keys(message.getKeys()));
        line.put("keyed", true);
        line.put("recent", true);
        return line;
    }

    /** Answers as the transactions of Interop do, and counts those that were left open. */
    private static final class Checks implements TransactionListener {
        final Map<Integer, Boolean> asked = new ConcurrentHashMap<>();

        static LocalTransactionState state(int index) {
            return Interop.isCommitted(index) ? LocalTransactionState.COMMIT_MESSAGE : LocalTransactionState.ROLLBACK_MESSAGE;
        }

        boolean await(int open, int seconds) throws InterruptedException {
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
            synchronized (asked) {
                while (asked.size() < open && System.nanoTime() < end) {
                    asked.wait(100);
                }
            }
            return asked.size() >= open;
        }

        @Override
        public LocalTransactionState executeLocalTransaction(Message message, Object index) {
            return Interop.atOnce((Integer) index);
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt message) {
            int index = Integer.parseInt(message.getUserProperty("index"));
            if (Interop.atOnce(index) == LocalTransactionState.UNKNOW) {
                synchronized (asked) {
                    asked.put(index, true);
                    asked.notifyAll();
                }
            }
            return state(index);
        }
    }

    // ---- reading

    /** In the order of the topic, so that of two records of one end the first is printed. */
    static void read(String nameServer, String topic, String traceTopic, String group, int count, int seconds) throws Exception {
        Map<String, Map<String, Object>> lines = new LinkedHashMap<>();
        CountDownLatch latch = new CountDownLatch(count);
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(nameServer);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setConsumeThreadMin(1);
        consumer.setConsumeThreadMax(1);
        consumer.subscribe(traceTopic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, listening) -> {
            for (MessageExt message : messages) {
                String text = new String(message.getBody(), StandardCharsets.UTF_8);
                for (TraceContext context : TraceDataEncoder.decoderFromTraceDataString(text)) {
                    for (TraceBean bean : context.getTraceBeans()) {
                        String key = context.getTraceType() + " " + bean.getMsgId() + " " + bean.getTransactionState();
                        synchronized (lines) {
                            if (topic.equals(bean.getTopic()) && lines.putIfAbsent(key, line(context, bean)) == null) {
                                latch.countDown();
                            }
                        }
                    }
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        boolean complete = latch.await(seconds, TimeUnit.SECONDS);
        consumer.shutdown();
        DefaultMQProducer asking = Interop.producer(nameServer, "none", "interop-query");
        for (Map<String, Object> line : lines.values()) {
            line.put("keyed", isFound(asking, traceTopic, (String) line.get("id")));
            Interop.print(line);
        }
        asking.shutdown();
        if (!complete) {
            System.err.println("got " + lines.size() + " of " + count + " records within " + seconds + " s");
            System.exit(3);
        }
    }

    /** As `mqadmin queryMsgTraceById` does it. The broker writes its index a little later. */
    private static boolean isFound(DefaultMQProducer asking, String traceTopic, String id) throws Exception {
        for (int times = 0; times < 20; times++) {
            try {
                @SuppressWarnings("deprecation") // What stands for it is not open to users.
                QueryResult found = asking.queryMessage(traceTopic, id, 64, 0, Long.MAX_VALUE);
                for (MessageExt message : found.getMessageList()) {
                    if (!TraceView.decodeFromTraceTransData(id, message).isEmpty()) {
                        return true;
                    }
                }
            } catch (MQClientException none) {
                // That is how it says that there is no message.
            }
            Thread.sleep(100);
        }
        return false;
    }

    private static Map<String, Object> line(TraceContext context, TraceBean bean) {
        Map<String, Object> line = new TreeMap<>();
        line.put("record", context.getTraceType().name());
        line.put("id", bean.getMsgId());
        line.put("topic", bean.getTopic());
        line.put("group", context.getGroupName());
        line.put("region", context.getRegionId());
        line.put("store_host", bean.getStoreHost());
        line.put("tag", given(bean.getTags()));
        line.put("keys", Interop.keys(given(bean.getKeys())));
        line.put("recent", Math.abs(System.currentTimeMillis() - context.getTimeStamp()) < TimeUnit.MINUTES.toMillis(10));
        line.put("kind", bean.getMsgType().name().split("_")[bean.getMsgType().name().startsWith("Trans") ? 2 : 0].toLowerCase());
        if (context.getTraceType() == TraceType.EndTransaction) {
            line.put("state", name(bean.getTransactionState()));
            line.put("from_check", bean.isFromTransactionCheck());
            line.put("transaction", bean.getTransactionId());
        } else {
            line.put("length", bean.getBodyLength());
            line.put("success", context.isSuccess());
        }
        return line;
    }

    /** A text that is missing is written and read as "null". */
    private static String given(String text) {
        return text == null || text.equals("null") ? null : text;
    }

    private static String name(LocalTransactionState state) {
        switch (state) {
            case COMMIT_MESSAGE:
                return "commit";
            case ROLLBACK_MESSAGE:
                return "rollback";
            default:
                return "unknown";
        }
    }
}
