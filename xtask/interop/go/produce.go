package main

import (
	"context"
	"fmt"
	"strings"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

const (
	groupOfSix   = 6
	compressOver = 4096
	never        = 1 << 30
)

func produce(nameServer, topic string, count int, specs []string) error {
	producers := make(map[string]rocketmq.Producer)
	for _, spec := range specs {
		if _, known := producers[spec]; known {
			continue
		}
		started, err := start(nameServer, spec, "interop-"+spec)
		if err != nil {
			return err
		}
		producers[spec] = started
	}
	for first := 0; first < count; first += groupOfSix {
		spec := specs[first/groupOfSix%len(specs)]
		var messages []*primitive.Message
		for index := first; index < min(count, first+groupOfSix); index++ {
			made := message(topic, index)
			if spec == "delay" {
				made.WithDelayTimeLevel(1)
			}
			messages = append(messages, made)
		}
		if err := send(producers[spec], spec, first, messages); err != nil {
			return err
		}
	}
	for _, started := range producers {
		if err := started.Shutdown(); err != nil {
			return err
		}
	}
	return nil
}

// Replies find a requester by its client id, so no two processes may have the same instance name.
func start(nameServer, spec, instance string, more ...producer.Option) (rocketmq.Producer, error) {
	over := never
	switch spec {
	case "none", "batch", "delay":
	case "zlib":
		over = compressOver
	default:
		return nil, fmt.Errorf("the Go client knows no %s", spec)
	}
	started, err := rocketmq.NewProducer(append(more,
		producer.WithNsResolver(primitive.NewPassthroughResolver([]string{nameServer})),
		producer.WithGroupName(instance),
		producer.WithInstanceName(instance),
		producer.WithCompressMsgBodyOverHowmuch(over),
	)...)
	if err != nil {
		return nil, err
	}
	return started, started.Start()
}

func send(by rocketmq.Producer, spec string, first int, messages []*primitive.Message) error {
	if spec == "batch" {
		result, err := sent(by, messages...)
		if err != nil {
			return err
		}
		// The client gives messages of a batch no id of their own: the broker's are all they have.
		ids := strings.Split(result.OffsetMsgID, ",")
		if len(ids) != len(messages) {
			return fmt.Errorf("%d ids for %d messages: %s", len(ids), len(messages), result.OffsetMsgID)
		}
		for at, message := range messages {
			print(line(first+at, ids[at], message.Body, message.GetProperties(), "none"))
		}
		return nil
	}
	for at, message := range messages {
		result, err := sent(by, message)
		if err != nil {
			return err
		}
		compression := "none"
		if spec == "zlib" && len(message.Body) >= compressOver {
			compression = "zlib"
		}
		made := line(first+at, result.MsgID, message.Body, message.GetProperties(), compression)
		if spec == "delay" {
			made["least_wait_ms"] = 1000
		}
		print(made)
	}
	return nil
}

func sent(by rocketmq.Producer, messages ...*primitive.Message) (*primitive.SendResult, error) {
	result, err := by.SendSync(context.Background(), messages...)
	if err == nil && result.Status != primitive.SendOK {
		err = fmt.Errorf("not stored: %v", result)
	}
	return result, err
}
