#!/bin/sh -e
# Makes the certificates beside this script, valid until 2126; the keys open nothing but these tests.
cd "$(dirname "$0")"

authority() {  # NAME
    openssl ecparam -genkey -name prime256v1 -noout -out "$1.key"
    openssl req -x509 -new -key "$1.key" -days 36500 -subj "/CN=$1" -out "$1.pem" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
}

signed() {  # NAME AUTHORITY ALTERNATIVE_NAMES [NOT_BEFORE NOT_AFTER]
    openssl ecparam -genkey -name prime256v1 -noout -out "$1.key"
    openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
    printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index.tmp\nnew_certs_dir=.\nserial=serial.tmp\npolicy=p\n[p]\ncommonName=supplied\n[e]\nsubjectAltName=%s\n' \
        "$3" > ca.tmp
    : > index.tmp
    echo 01 > serial.tmp
    openssl ca -batch -notext -config ca.tmp -extensions e -md sha256 -cert "$2.pem" -keyfile "$2.key" \
        -in "$1.csr" -out "$1.pem" -startdate "${4:-20260101000000Z}" -enddate "${5:-21260101000000Z}"
    rm -f "$1.csr" ./*.tmp ./*.tmp.* 01.pem
}

authority authority
authority stranger
signed smsc authority DNS:localhost,IP:127.0.0.1
signed elsewhere authority DNS:elsewhere.example
signed expired authority DNS:localhost,IP:127.0.0.1 20200101000000Z 20210101000000Z
signed esme authority DNS:esme.example
signed intruder stranger DNS:esme.example
rm -f authority.key stranger.key
