// The two endpoints everyone starts with, POST /put and GET /get?key=, on fasthttp: the peer of bench:peers' HTTP rows.
// Four locked maps, the standard library's JSON, and the replies of Breadbox byte for byte.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"hash/maphash"
	"log"
	"os"
	"runtime"
	"sync"

	"github.com/valyala/fasthttp"
)

const shardCount = 4

type shard struct {
	sync.RWMutex
	entries map[string]string
}

type putBody struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type getReply struct {
	Status string `json:"status"`
	Key    string `json:"key"`
	Value  string `json:"value"`
}

var (
	shards [shardCount]shard
	seed   = maphash.MakeSeed()
)

func shardOf(key string) *shard {
	var hash maphash.Hash
	hash.SetSeed(seed)
	hash.WriteString(key)
	return &shards[hash.Sum64()%shardCount]
}

func fail(ctx *fasthttp.RequestCtx, code int, message string) {
	ctx.SetStatusCode(code)
	ctx.SetBodyString(`{"status":"ERROR","message":"` + message + `"}`)
}

func put(ctx *fasthttp.RequestCtx) {
	var body putBody
	if err := json.Unmarshal(ctx.PostBody(), &body); err != nil || body.Key == "" {
		fail(ctx, fasthttp.StatusBadRequest, "the body is no put")
		return
	}
	owner := shardOf(body.Key)
	owner.Lock()
	owner.entries[body.Key] = body.Value
	owner.Unlock()
	ctx.SetBodyString(`{"status":"OK","message":"Key inserted/updated successfully."}`)
}

func get(ctx *fasthttp.RequestCtx) {
	key := string(ctx.QueryArgs().Peek("key"))
	owner := shardOf(key)
	owner.RLock()
	value, found := owner.entries[key]
	owner.RUnlock()
	if !found {
		fail(ctx, fasthttp.StatusNotFound, "Key not found.")
		return
	}
	reply, _ := json.Marshal(getReply{"OK", key, value})
	ctx.SetBody(reply)
}

func handle(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType("application/json")
	switch {
	case ctx.IsGet() && string(ctx.Path()) == "/get":
		get(ctx)
	case ctx.IsPost() && string(ctx.Path()) == "/put":
		put(ctx)
	default:
		fail(ctx, fasthttp.StatusNotFound, "unknown path")
	}
}

func main() {
	port := flag.String("port", os.Getenv("PORT"), "port to listen on, on 127.0.0.1; also PORT")
	version := flag.Bool("version", false, "print the versions and end")
	flag.Parse()
	if *version {
		fmt.Println("fasthttp server,", runtime.Version())
		return
	}
	for i := range shards {
		shards[i].entries = make(map[string]string)
	}
	log.Fatal(fasthttp.ListenAndServe("127.0.0.1:"+*port, handle))
}
