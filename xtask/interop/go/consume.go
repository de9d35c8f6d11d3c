package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

func consume(nameServer, topic, group string, count int, limit time.Duration) error {
	return receive(nameServer, topic, group, count, limit, func(message *primitive.MessageExt) (map[string]any, error) {
		made := received(message)
		made["waited_ms"] = message.StoreTimestamp - message.BornTimestamp
		return made, nil
	})
}

func received(message *primitive.MessageExt) map[string]any {
	compression := "none"
	if message.SysFlag&primitive.FlagCompressed != 0 {
		compression = "zlib"
	}
	return line(indexOf(&message.Message), message.MsgId, message.Body, message.GetProperties(), compression)
}

// Prints a line for each distinct message, until there are enough. A message with an error comes again.
func receive(nameServer, topic, group string, count int, limit time.Duration,
	handle func(*primitive.MessageExt) (map[string]any, error)) error {
	var lock sync.Mutex
	seen := make(map[string]bool)
	complete := make(chan struct{})
	started, err := rocketmq.NewPushConsumer(
		consumer.WithNsResolver(primitive.NewPassthroughResolver([]string{nameServer})),
		consumer.WithGroupName(group),
		consumer.WithInstance(group),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	)
	if err != nil {
		return err
	}
	listener := func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		lock.Lock()
		defer lock.Unlock()
		for _, message := range messages {
			made, err := handle(message)
			if err != nil {
				fmt.Fprintln(os.Stderr, "message", message.MsgId, "will be tried again:", err)
				return consumer.ConsumeRetryLater, nil
			}
			if seen[message.MsgId] {
				continue
			}
			seen[message.MsgId] = true
			print(made)
			if len(seen) == count {
				close(complete)
			}
		}
		return consumer.ConsumeSuccess, nil
	}
	if err := started.Subscribe(topic, consumer.MessageSelector{}, listener); err != nil {
		return err
	}
	if err := started.Start(); err != nil {
		return err
	}
	select {
	case <-complete:
		err = nil
	case <-time.After(limit):
		err = errIncomplete
	}
	return errors.Join(err, started.Shutdown())
}
