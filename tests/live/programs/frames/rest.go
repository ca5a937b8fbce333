// A Go program whose goroutines wait: for ever, for each other, and for input.
package main

import (
	"fmt"
	"os"
	"time"
)

func inner(channel chan int) {
	channel <- 1
	select {}
}

func main() {
	channel := make(chan int)
	go inner(channel)
	<-channel
	fmt.Printf("READY {\"pid\":%d,\"threads\":{},\"settles\":{}}\n", os.Getpid())
	for {
		time.Sleep(time.Hour)
	}
}
