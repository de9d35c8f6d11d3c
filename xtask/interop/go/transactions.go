package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

// Of six: two are committed at once, two rolled back, one committed and one rolled back when the broker asks.
type transactions struct {
	lock     sync.Mutex
	asked    map[int]bool
	enough   int
	complete chan struct{}
}

func isCommitted(index int) bool {
	return index%3 == 0 || index%6 == 2
}

func (t *transactions) ExecuteLocalTransaction(message *primitive.Message) primitive.LocalTransactionState {
	switch indexOf(message) % 3 {
	case 0:
		return primitive.CommitMessageState
	case 1:
		return primitive.RollbackMessageState
	}
	return primitive.UnknowState
}

func (t *transactions) CheckLocalTransaction(message *primitive.MessageExt) primitive.LocalTransactionState {
	index := indexOf(&message.Message)
	t.lock.Lock()
	defer t.lock.Unlock()
	// Brokers ask about ended ones too, within seconds of their end.
	if index%3 == 2 && !t.asked[index] {
		t.asked[index] = true
		if len(t.asked) == t.enough {
			close(t.complete)
		}
	}
	if isCommitted(index) {
		return primitive.CommitMessageState
	}
	return primitive.RollbackMessageState
}

// Brokers ask any producer of a group, also about messages of one that is gone: every topic has a group of its own.
func ownGroup(topic string) string {
	return topic + "-producer"
}

func transact(nameServer, topic string, count int, limit time.Duration) error {
	// The client calls every rollback an error, and shows the message.
	rlog.SetLogLevel("fatal")
	listener := &transactions{asked: make(map[int]bool), enough: count / 3, complete: make(chan struct{})}
	by, err := rocketmq.NewTransactionProducer(
		listener,
		producer.WithNsResolver(primitive.NewPassthroughResolver([]string{nameServer})),
		producer.WithGroupName(ownGroup(topic)),
		producer.WithInstanceName("interop-transact"),
		producer.WithCompressMsgBodyOverHowmuch(never),
	)
	if err != nil {
		return err
	}
	if err := by.Start(); err != nil {
		return err
	}
	for index := 0; index < count; index++ {
		half := message(topic, index)
		result, err := by.SendMessageInTransaction(context.Background(), half)
		if err == nil && result.Status != primitive.SendOK {
			err = fmt.Errorf("not stored: %v", result)
		}
		if err != nil {
			return err
		}
		if isCommitted(index) {
			print(line(index, result.MsgID, half.Body, half.GetProperties(), "none"))
		}
	}
	select {
	case <-listener.complete:
		// The last answer leaves after the listener has returned, and nobody confirms it.
		time.Sleep(time.Second)
		err = nil
	case <-time.After(limit):
		err = errIncomplete
	}
	return errors.Join(err, by.Shutdown())
}
