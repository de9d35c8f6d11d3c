import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientIDSetter;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.exception.RemotingException;

/**
 * A member of a group that tells when each delivery begins and ends, and a producer that sends all the time.
 */
final class Sharing {
    /** The default of 0 interrupts listeners, which is no way to leave. */
    private static final long AWAIT_LISTENERS_MILLIS = 10_000;
    /** The machine is busy when many members start. */
    private static final long SEND_MILLIS = 10_000;

    private Sharing() {
    }

    static void flow(String nameServer, String topic, long millis) throws Exception {
        DefaultMQProducer producer = Interop.producer(nameServer, "none", "interop-flow");
        printClient(producer.getDefaultMQProducerImpl().getMqClientFactory().getClientId());
        CountDownLatch ended = new CountDownLatch(1);
        Thread input = new Thread(() -> {
            awaitEndOfInput();
            ended.countDown();
        });
        input.start();
        for (int index = 0; !ended.await(millis, TimeUnit.MILLISECONDS); index++) {
            Message message = new Message(topic, ("message " + index).getBytes(StandardCharsets.UTF_8));
            try {
                Interop.check(producer.send(message, SEND_MILLIS));
                Interop.print(Map.of("id", MessageClientIDSetter.getUniqID(message)));
            } catch (RemotingException | MQClientException error) {
                // On a busy machine not even the name server answers in time. The message may be stored or not.
                System.err.println("not sent: " + error);
            }
        }
        producer.shutdown();
    }

    static void share(String nameServer, String topic, String group, String kind, long millis) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(nameServer);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setAwaitTerminationMillisWhenShutdown(AWAIT_LISTENERS_MILLIS);
        consumer.subscribe(topic, "*");
        if (kind.equals("orderly")) {
            consumer.registerMessageListener((MessageListenerOrderly) (messages, context) ->
                isHandled(messages.get(0), millis) ? ConsumeOrderlyStatus.SUCCESS : ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT);
        } else {
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) ->
                isHandled(messages.get(0), millis) ? ConsumeConcurrentlyStatus.CONSUME_SUCCESS : ConsumeConcurrentlyStatus.RECONSUME_LATER);
        }
        consumer.start();
        printClient(consumer.getDefaultMQPushConsumerImpl().getmQClientFactory().getClientId());
        awaitEndOfInput();
        consumer.shutdown();
    }

    private static boolean isHandled(MessageExt message, long millis) {
        print("begin", message);
        try {
            Thread.sleep(millis);
        } catch (InterruptedException error) {
            return false;
        }
        print("end", message);
        return true;
    }

    private static void print(String event, MessageExt message) {
        Instant now = Instant.now();
        Map<String, Object> line = new TreeMap<>();
        line.put("event", event);
        line.put("at", now.getEpochSecond() * 1_000_000 + now.getNano() / 1000);
        line.put("id", message.getMsgId());
        line.put("queue", message.getQueueId());
        line.put("offset", message.getQueueOffset());
        line.put("attempt", message.getReconsumeTimes() + 1);
        Interop.print(line);
    }

    private static void printClient(String id) {
        Interop.print(Map.of("client", id));
    }

    private static void awaitEndOfInput() {
        try {
            while (System.in.read() >= 0) {
                // Until whoever started this has seen enough.
            }
        } catch (java.io.IOException error) {
            // Whatever ends it.
        }
    }
}
