-- A deployment for which no environment was named says so by having none.
UPDATE endpoints SET deployment = json_remove(deployment, '$.environment')
  WHERE json_extract(deployment, '$.environment.kind') = 'host';
UPDATE endpoints SET good_deployment = json_remove(good_deployment, '$.environment')
  WHERE json_extract(good_deployment, '$.environment.kind') = 'host';
