package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// What a message of this index contains.
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

func line(index int, id string, body []byte, all map[string]string, compression string) map[string]any {
	properties := make(map[string]string)
	for _, name := range []string{"index", "unicode-名", "json", "long"} {
		if value, known := all[name]; known {
			properties[name] = value
		}
	}
	sum := sha256.Sum256(body)
	return map[string]any{
		"index":       index,
		"id":          id,
		"tag":         tag(all),
		"keys":        keys(all),
		"properties":  properties,
		"length":      len(body),
		"sha256":      hex.EncodeToString(sum[:]),
		"compression": compression,
	}
}

func tag(all map[string]string) any {
	if text := all[primitive.PropertyTags]; text != "" {
		return text
	}
	return nil
}

func keys(all map[string]string) []string {
	return strings.Fields(all[primitive.PropertyKeys])
}

// Where the message came from; -1 is an index that nobody sends: the comparison names such a message.
func indexOf(message *primitive.Message) int {
	index, err := strconv.Atoi(message.GetProperty("index"))
	if err != nil {
		return -1
	}
	return index
}

func print(line map[string]any) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(append(text, '\n'))
}
