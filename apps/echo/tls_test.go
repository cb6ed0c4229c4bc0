package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"istio-canary/apps/internal/server"
)

// selfSigned writes a self-signed certificate that is also a CA, and its key.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"echo.example.com"},
		IsCA: true, BasicConstraintsValid: true,
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, content []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write("tls.crt", "CERTIFICATE", signed), write("tls.key", "PRIVATE KEY", secret)
}

func TestServesTLSAndRequiresCallersCertificates(t *testing.T) {
	certificate, key := selfSigned(t)
	for _, authority := range []string{"", certificate} {
		security, err := tlsFrom(certificate, key, authority)
		if err != nil {
			t.Fatal(err)
		}
		listeners, err := server.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := listeners[0].Addr().String()
		upstream := server.New(newEcho(""))
		upstream.TLSConfig = security
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(ctx, upstream, listeners, time.Second) }()
		pair, _ := tls.LoadX509KeyPair(certificate, key)
		for _, shown := range [][]tls.Certificate{nil, {pair}} {
			config := &tls.Config{InsecureSkipVerify: true, Certificates: shown}
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
			response, err := client.Get("https://" + address)
			if allowed := authority == "" || shown != nil; (err == nil) != allowed {
				t.Errorf("authority %q, certificate %t: %v", authority, shown != nil, err)
			}
			if err == nil {
				response.Body.Close()
			}
			client.CloseIdleConnections()
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestRefusesUnusableFiles(t *testing.T) {
	certificate, key := selfSigned(t)
	for _, files := range [][3]string{{"none", key, ""}, {certificate, "none", ""}, {certificate, key, "none"}, {certificate, key, key}} {
		if _, err := tlsFrom(files[0], files[1], files[2]); err == nil {
			t.Errorf("%v was accepted", files)
		}
	}
	if security, err := tlsFrom("", "", ""); security != nil || err != nil {
		t.Errorf("without a certificate it must serve plain HTTP: %v %v", security, err)
	}
}
