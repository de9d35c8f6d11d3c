// The Go side of `cargo xtask interop go`. README.md in the folder above says what is sent and what is printed.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

const (
	groupOfSix   = 6
	compressOver = 4096
	never        = 1 << 30
)

var errIncomplete = errors.New("not all messages came in time")

func main() {
	rlog.SetLogLevel("error")
	err := run(os.Args[1:])
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	if errors.Is(err, errIncomplete) {
		os.Exit(3)
	}
	os.Exit(1)
}

func run(args []string) error {
	if len(args) >= 5 && args[0] == "produce" {
		count, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		return produce(args[1], args[2], count, args[4:])
	}
	if len(args) == 6 && args[0] == "consume" {
		count, err := strconv.Atoi(args[4])
		if err != nil {
			return err
		}
		seconds, err := strconv.Atoi(args[5])
		if err != nil {
			return err
		}
		return consume(args[1], args[2], args[3], count, time.Duration(seconds)*time.Second)
	}
	return errors.New("usage: produce NAMESRV TOPIC COUNT SPEC... | consume NAMESRV TOPIC GROUP COUNT SECONDS")
}

// ---- producing

func produce(nameServer, topic string, count int, specs []string) error {
	producers := make(map[string]rocketmq.Producer)
	for _, spec := range specs {
		if _, known := producers[spec]; known {
			continue
		}
		started, err := start(nameServer, spec)
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

func start(nameServer, spec string) (rocketmq.Producer, error) {
	over := never
	switch spec {
	case "none", "batch", "delay":
	case "zlib":
		over = compressOver
	default:
		return nil, fmt.Errorf("the Go client knows no %s", spec)
	}
	started, err := rocketmq.NewProducer(
		producer.WithNsResolver(primitive.NewPassthroughResolver([]string{nameServer})),
		producer.WithGroupName("interop-"+spec),
		producer.WithInstanceName("interop-"+spec),
		producer.WithCompressMsgBodyOverHowmuch(over),
	)
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

// ---- what a message of an index contains

func message(topic string, index int) *primitive.Message {
	message := primitive.NewMessage(topic, body(index))
	switch index % 3 {
	case 1:
		message.WithTag("tag-a")
	case 2:
		message.WithTag("标签")
	}
	switch index % 4 {
	case 1:
		message.WithKeys([]string{fmt.Sprintf("key-%d", index)})
	case 2:
		message.WithKeys([]string{fmt.Sprintf("key-%d-a", index), fmt.Sprintf("key-%d-b", index)})
	case 3:
		message.WithKeys([]string{fmt.Sprintf("schlüssel-%d", index)})
	}
	message.WithProperty("index", strconv.Itoa(index))
	if index%2 == 1 {
		message.WithProperty("unicode-名", "naïve ✓ 🚀")
		message.WithProperty("json", "{\"a\":\"b\\\"c\",\"d\":[1,2]}\n\t=;&")
	}
	if index%5 == 0 {
		message.WithProperty("long", strings.Repeat("x", 1000))
	}
	return message
}

func body(index int) []byte {
	switch index % 6 {
	case 0:
		return []byte(fmt.Sprintf("message %d", index))
	case 1:
		return []byte(fmt.Sprintf("größer 世界 🚀 %d", index))
	case 2:
		return []byte{byte(index)}
	case 3:
		all := make([]byte, 256)
		for at := range all {
			all[at] = byte(at + index)
		}
		return all
	case 4:
		return []byte(strings.Repeat(fmt.Sprintf("line %d of a text that compresses well\n", index), 400))
	}
	noise := make([]byte, 8192)
	state := uint32(index)
	for at := range noise {
		state = state*1664525 + 1013904223
		noise[at] = byte(state >> 24)
	}
	return noise
}

// ---- consuming

func consume(nameServer, topic, group string, count int, limit time.Duration) error {
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
			if seen[message.MsgId] {
				continue
			}
			seen[message.MsgId] = true
			// -1 is an index that nobody sends: the comparison names such a message.
			index, err := strconv.Atoi(message.GetProperty("index"))
			if err != nil {
				index = -1
			}
			compression := "none"
			if message.SysFlag&primitive.FlagCompressed != 0 {
				compression = "zlib"
			}
			made := line(index, message.MsgId, message.Body, message.GetProperties(), compression)
			made["waited_ms"] = message.StoreTimestamp - message.BornTimestamp
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

// ---- printing

func line(index int, id string, body []byte, all map[string]string, compression string) map[string]any {
	properties := make(map[string]string)
	for _, name := range []string{"index", "unicode-名", "json", "long"} {
		if value, known := all[name]; known {
			properties[name] = value
		}
	}
	var tag any
	if text := all[primitive.PropertyTags]; text != "" {
		tag = text
	}
	sum := sha256.Sum256(body)
	return map[string]any{
		"index":       index,
		"id":          id,
		"tag":         tag,
		"keys":        strings.Fields(all[primitive.PropertyKeys]),
		"properties":  properties,
		"length":      len(body),
		"sha256":      hex.EncodeToString(sum[:]),
		"compression": compression,
	}
}

func print(line map[string]any) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(append(text, '\n'))
}
