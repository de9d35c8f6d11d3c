// The Go side of `cargo xtask interop go`. README.md in the folder above says what is sent and what is printed.
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/apache/rocketmq-client-go/v2/rlog"
)

var (
	errIncomplete = errors.New("not all messages came in time")
	errUsage      = errors.New("usage: produce NAMESRV TOPIC COUNT SPEC... | consume NAMESRV TOPIC GROUP COUNT SECONDS" +
		" | request NAMESRV TOPIC COUNT | reply NAMESRV TOPIC GROUP COUNT SECONDS | transact NAMESRV TOPIC COUNT SECONDS" +
		" | trace NAMESRV TOPIC TRACETOPIC COUNT SECONDS SPEC...")
)

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
	if len(args) < 4 {
		return errUsage
	}
	switch command, given := args[0], len(args); {
	case command == "produce" && given >= 5:
		return produce(args[1], args[2], number(args[3]), args[4:])
	case command == "consume" && given == 6:
		return consume(args[1], args[2], args[3], number(args[4]), seconds(args[5]))
	case command == "request" && given == 4:
		return request(args[1], args[2], number(args[3]))
	case command == "reply" && given == 6:
		return reply(args[1], args[2], args[3], number(args[4]), seconds(args[5]))
	case command == "transact" && given == 5:
		return transact(args[1], args[2], number(args[3]), seconds(args[4]))
	case command == "trace" && given >= 7:
		return trace(args[1], args[2], args[3], number(args[4]), args[6:])
	}
	return errUsage
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return value
}

func seconds(text string) time.Duration {
	return time.Duration(number(text)) * time.Second
}
