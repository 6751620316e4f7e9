//! A real etcd and kube-apiserver for every test
