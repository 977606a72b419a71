/* TLS. The contract is in tls.h. */
#include "tls.h"

#include "worker.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

static void describe(char *why, size_t room, const char *what, const char *path) {
    unsigned long error = ERR_peek_last_error();
    const char *reason = error ? ERR_reason_error_string(error) : NULL;
    snprintf(why, room, "%s: %s: %s", what, path ? path : "not given", reason ? reason : "it cannot be used");
    ERR_clear_error();
}

static bool load(SSL_CTX *tls, const hf_settings *settings, char *why, size_t room) {
    if (!settings->tls_certificate || SSL_CTX_use_certificate_chain_file(tls, settings->tls_certificate) != 1) {
        describe(why, room, "tls-certificate", settings->tls_certificate);
        return false;
    }
    if (!settings->tls_key || SSL_CTX_use_PrivateKey_file(tls, settings->tls_key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(tls) != 1) {
        describe(why, room, "tls-key", settings->tls_key);
        return false;
    }
    if (settings->tls_clients == TLS_CLIENTS_NONE)
        return true;
    if (!settings->tls_client_ca || SSL_CTX_load_verify_locations(tls, settings->tls_client_ca, NULL) != 1) {
        describe(why, room, "tls-client-ca", settings->tls_client_ca);
        return false;
    }
    SSL_CTX_set_client_CA_list(tls, SSL_load_client_CA_file(settings->tls_client_ca));
    int must = settings->tls_clients == TLS_CLIENTS_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | must, NULL);
    return true;
}

SSL_CTX *tls_open(const hf_settings *settings, char *why, size_t room) {
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (!tls) {
        describe(why, room, "tls", "OpenSSL");
        return NULL;
    }
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(tls,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_id_context(tls, (const unsigned char *)"holdfast", 8);
    if (load(tls, settings, why, room))
        return tls;
    SSL_CTX_free(tls);
    return NULL;
}

bool tls_begin(hf_connection *connection) {
    connection->tls = SSL_new(connection->worker->server->tls);
    if (!connection->tls || SSL_set_fd(connection->tls, connection->fd) != 1)
        return false;
    SSL_set_accept_state(connection->tls);
    return true;
}

tls_step tls_shake(hf_connection *connection) {
    ERR_clear_error();
    int result = SSL_do_handshake(connection->tls);
    if (result == 1)
        return TLS_DONE;
    switch (SSL_get_error(connection->tls, result)) {
    case SSL_ERROR_WANT_READ:
        return TLS_WANTS_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANTS_WRITE;
    default:
        ERR_clear_error();
        return TLS_FAILED;
    }
}

/* What OpenSSL says of a read or write that took nothing, as recv and send say it. */
static ssize_t outcome(hf_connection *connection, int result) {
    int error = SSL_get_error(connection->tls, result);
    ERR_clear_error();
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        errno = EAGAIN;
        return -1;
    }
    if (error == SSL_ERROR_ZERO_RETURN || (error == SSL_ERROR_SYSCALL && errno == 0))
        return 0;
    errno = errno && error == SSL_ERROR_SYSCALL ? errno : EPROTO;
    return -1;
}

ssize_t tls_read(hf_connection *connection, void *bytes, size_t room) {
    errno = 0;
    int result = SSL_read(connection->tls, bytes, room > INT_MAX ? INT_MAX : (int)room);
    return result > 0 ? result : outcome(connection, result);
}

ssize_t tls_write(hf_connection *connection, const void *bytes, size_t length) {
    errno = 0;
    int result = SSL_write(connection->tls, bytes, length > INT_MAX ? INT_MAX : (int)length);
    return result > 0 ? result : outcome(connection, result);
}

bool tls_has_bytes(const hf_connection *connection) { return connection->tls && SSL_has_pending(connection->tls); }

void tls_end(hf_connection *connection) {
    if (!connection->tls)
        return;
    if (!connection->handshaking)
        SSL_shutdown(connection->tls);
    ERR_clear_error();
    SSL_free(connection->tls);
    connection->tls = NULL;
}

bool tls_client_name(const hf_connection *connection, char name[ACCESS_NAME + 1]) {
    X509 *certificate = SSL_get1_peer_certificate(connection->tls);
    if (!certificate)
        return false;
    char found[256] = {0};
    int length = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, found, sizeof found);
    X509_free(certificate);
    if (SSL_get_verify_result(connection->tls) != X509_V_OK || length < 1 || length > ACCESS_NAME ||
        strlen(found) != (size_t)length)
        return false;
    memcpy(name, found, (size_t)length + 1);
    return true;
}
