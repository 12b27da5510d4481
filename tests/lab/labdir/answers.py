# SPDX-License-Identifier: Apache-2.0
"""Shapes of refusals."""


class Refusal(Exception):
    def __init__(self, status, body, headers=None):
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers or {}


def error_body(code, message, **more):
    return {"error": {"code": code, "message": message, **more}}


def field_refusal(field, text):
    return Refusal(422, error_body("validation_error", "Input validation failed", fields={field: [text]}))
