-- Run once by the image `postgres`, when it makes the database: a login for each process, as
-- docs/tenancy.md has it. The passwords are in secrets/postgres.env.
\set ON_ERROR_STOP on
\getenv owner_password OWNER_PASSWORD
\getenv web_password WEB_PASSWORD
\getenv worker_password WORKER_PASSWORD

CREATE ROLE atelier_web NOLOGIN;
CREATE ROLE atelier_worker NOLOGIN;
CREATE ROLE atelier_owner LOGIN PASSWORD :'owner_password' IN ROLE atelier_web, atelier_worker;
CREATE ROLE atelier_web_login LOGIN PASSWORD :'web_password' IN ROLE atelier_web;
CREATE ROLE atelier_worker_login LOGIN PASSWORD :'worker_password' IN ROLE atelier_worker;
CREATE DATABASE atelier OWNER atelier_owner TEMPLATE template0 ENCODING 'UTF8';
