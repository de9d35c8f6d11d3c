import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * A member of a group that lives until its input ends, for tools that look at it from outside.
 */
final class Deliveries {
    private Deliveries() {
    }

    static void print(String nameServer, String topic, String group, String kind) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(nameServer);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        if (kind.equals("orderly")) {
            consumer.registerMessageListener((MessageListenerOrderly) (messages, context) ->
                isConsumed(topic, messages.get(0)) ? ConsumeOrderlyStatus.SUCCESS : ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT);
        } else {
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) ->
                isConsumed(topic, messages.get(0)) ? ConsumeConcurrentlyStatus.CONSUME_SUCCESS : ConsumeConcurrentlyStatus.RECONSUME_LATER);
        }
        consumer.start();
        Interop.print(Map.of("client", consumer.getDefaultMQPushConsumerImpl().getmQClientFactory().getClientId()));
        while (System.in.read() >= 0) {
            // Until whoever started this has seen enough.
        }
        consumer.shutdown();
    }

    /** Messages of another topic come only when a tool has them consumed directly. */
    private static boolean isConsumed(String topic, MessageExt message) {
        Map<String, Object> line = Interop.line(message, message.getBody(), null);
        line.remove("compression");
        line.put("id", message.getMsgId());
        line.put("topic", message.getTopic());
        Interop.print(line);
        int index = Integer.parseInt(message.getProperty("index"));
        if (message.getTopic().equals(topic)) {
            return true;
        }
        if (index % 3 == 2) {
            throw new IllegalStateException("this one throws");
        }
        return index % 3 == 0;
    }
}
