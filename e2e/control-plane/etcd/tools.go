//go:build tools

// Package tools keeps the command that build-control-plane builds in go.mod.
package tools

import _ "go.etcd.io/etcd/server/v3"
