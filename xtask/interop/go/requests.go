package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

func request(nameServer, topic string, count int) error {
	by, err := start(nameServer, "none", "interop-request")
	if err != nil {
		return err
	}
	// The client tells brokers of a new producer after a second, and before a request to a topic that is not there yet: a
	// reply that comes sooner finds nobody. So one request goes nowhere first.
	rlog.SetLogLevel("fatal")
	if _, err := by.Request(context.Background(), time.Millisecond, primitive.NewMessage(topic+"-nobody", nil)); err == nil {
		return errors.New("somebody replied to the request that goes nowhere")
	}
	rlog.SetLogLevel("error")
	for index := 0; index < count; index++ {
		asked := message(topic, index)
		answer, err := by.Request(context.Background(), 30*time.Second, asked)
		if err != nil {
			return fmt.Errorf("request %d: %w", index, err)
		}
		all := asked.GetProperties()
		made := line(index, all[primitive.PropertyUniqueClientMessageIdKeyIndex], asked.Body, all, "none")
		putReply(made, answer.Body)
		print(made)
	}
	// The client wakes us before it tells the broker that the reply has come. When it ends in between, the broker tells the replier
	// that it has not.
	time.Sleep(time.Second)
	return by.Shutdown()
}

func reply(nameServer, topic, group string, count int, limit time.Duration) error {
	by, err := start(nameServer, "none", "interop-reply")
	if err != nil {
		return err
	}
	err = receive(nameServer, topic, group, count, limit, func(message *primitive.MessageExt) (map[string]any, error) {
		body := slices.Clone(message.Body)
		slices.Reverse(body)
		// The client takes the body that it is given here for properties, and sends none: it is set by hand.
		answer, err := consumer.CreateReplyMessage(message, nil)
		if err != nil {
			return nil, err
		}
		answer.Body = body
		if _, err := sent(by, answer); err != nil {
			return nil, err
		}
		made := received(message)
		putReply(made, body)
		return made, nil
	})
	return errors.Join(err, by.Shutdown())
}

func putReply(line map[string]any, body []byte) {
	sum := sha256.Sum256(body)
	line["reply_length"] = len(body)
	line["reply_sha256"] = hex.EncodeToString(sum[:])
}
