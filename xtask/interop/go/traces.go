package main

import (
	"fmt"
	"time"

	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// Sends with message trace on, and prints the records that are to be found afterwards.
func trace(nameServer, topic, traceTopic string, count int, specs []string) error {
	if len(specs) != 1 || specs[0] != "none" {
		return fmt.Errorf("the Go client traces each message as an ordinary one, and not %v", specs)
	}
	tracing := producer.WithTrace(&primitive.TraceConfig{
		TraceTopic:   traceTopic,
		GroupName:    "interop-trace",
		Access:       primitive.Local,
		NamesrvAddrs: []string{nameServer},
	})
	by, err := start(nameServer, "none", "interop-trace", tracing)
	if err != nil {
		return err
	}
	for index := 0; index < count; index++ {
		made := message(topic, index)
		result, err := sent(by, made)
		if err != nil {
			return err
		}
		all := made.GetProperties()
		print(map[string]any{
			"record":  "Pub",
			"id":      result.MsgID,
			"topic":   topic,
			"group":   "interop-trace",
			"region":  "DefaultRegion",
			"tag":     tag(all),
			"keys":    keys(all),
			"kind":    "normal",
			"length":  len(made.Body),
			"success": true,
			"keyed":   true,
			"recent":  true,
		})
	}
	// Records leave within milliseconds, and nobody is told when they are stored.
	time.Sleep(time.Second)
	return by.Shutdown()
}
